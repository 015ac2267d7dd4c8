//! Random bytes where frames and handshakes should be, the same in every run.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use support::frames::{frame, FIN, HANDSHAKE, TEXT};
use support::panics::{count_panics, panics};
use support::sockets::{echoing, opened};

/// Pseudo-random numbers (xorshift), the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.roll(256) as u8).collect()
    }

    /// A frame that is mostly nearly right.
    fn frame(&mut self) -> Vec<u8> {
        let opcode = [0, 1, 2, 8, 9, 10, 3, 15][self.roll(8) as usize];
        let first = opcode | if self.roll(4) > 0 { FIN } else { 0 };
        let first = if self.roll(16) == 0 {
            first ^ 0x20
        } else {
            first
        };
        let length = [0, 1, 5, 125, 126, 200, 70_000][self.roll(7) as usize];
        let payload = if self.roll(2) == 0 {
            vec![b'a'; length]
        } else {
            self.bytes(length as u64)
        };
        let mut bytes = frame(first, &payload);
        if self.roll(8) == 0 {
            let at = self.roll(bytes.len().min(14) as u64) as usize;
            bytes[at] ^= 1 << self.roll(8);
        }
        if self.roll(16) == 0 {
            bytes.truncate(self.roll(bytes.len() as u64) as usize);
        }
        bytes
    }
}

#[test]
fn random_frames_panic_nothing_and_the_server_serves_on() {
    count_panics();
    let (served, told) = echoing(|limits| limits.max_message_bytes = 100_000);
    let mut bystander = opened(&served);
    let mut dice = Dice(0x5eed_1234_5678_9abc);
    for round in 0..400 {
        let mut client = opened(&served);
        let mut wire = Vec::new();
        for _ in 0..=dice.roll(6) {
            if dice.roll(10) == 0 {
                let length = dice.roll(64);
                wire.extend(dice.bytes(length));
            } else {
                wire.extend(dice.frame());
            }
        }
        client.try_send(&wire);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        client.rest();
        told.next();
        if round % 50 == 0 {
            bystander.send_frame(TEXT, b"alive");
            assert_eq!(bystander.frame(), (FIN | TEXT, b"alive".to_vec()));
        }
    }
    served.until(|served| served.server.open_connections() == 1);
    assert_eq!(panics(), 0);
}

#[test]
fn random_handshakes_panic_nothing() {
    count_panics();
    let (served, _) = echoing(|_| {});
    let mut dice = Dice(0xfeed_1234_5678_9abc);
    for _ in 0..400 {
        let mut wire = HANDSHAKE.as_bytes().to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(wire.len() as u64) as usize;
            wire[at] = dice.roll(256) as u8;
        }
        wire.extend(dice.frame());
        let mut client = served.client();
        client.try_send(&wire);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        client.rest();
    }
    served.until(|served| served.server.open_connections() == 0);
    opened(&served);
    assert_eq!(panics(), 0);
}
