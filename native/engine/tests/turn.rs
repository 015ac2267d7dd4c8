//! The reactor as another event loop's selector: what ends a turn, and that no wake-up is lost or repeated.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute alone, not what they share

mod support;

use std::io::{pipe, PipeReader, PipeWriter, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fastr_engine::{
    App, Exchange, Finish, Limits, Listener, Reactor, Router, Server, Turn, TurnEnd,
};
use support::{inline, respond, saying, Client, PATIENCE};

const NOW: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(PATIENCE);
/// A turn that nothing ends.
const SHORT: Option<Duration> = Some(Duration::from_millis(30));

fn serve(reactor: &Reactor, app: Arc<dyn App>) -> (Server, SocketAddr) {
    let router = Arc::new(Router::new());
    router.mount("", app).unwrap();
    let listener = Listener::bind("127.0.0.1", 0).unwrap();
    let address = listener.address().tcp().unwrap();
    let server = Server::start(reactor, Some(listener), router, Limits::default()).unwrap();
    (server, address)
}

fn watching() -> (Reactor, PipeReader, PipeWriter) {
    let mut reactor = Reactor::new().unwrap();
    let (reader, writer) = pipe().unwrap();
    reactor.watch(reader.try_clone().unwrap().into()).unwrap();
    (reactor, reader, writer)
}

fn drain_byte(reader: &mut PipeReader) {
    reader.read_exact(&mut [0]).unwrap();
}

/// Asserts that a turn runs out its time.
fn assert_quiet(reactor: &mut Reactor, drained: bool) {
    let started = Instant::now();
    assert_eq!(
        reactor.turn(SHORT, drained),
        Turn {
            foreign_ready: false
        }
    );
    assert!(
        Some(started.elapsed()) >= SHORT,
        "the turn ended without a reason"
    );
}

/// Keeps exchanges for the test to answer between two turns, as asyncio does.
#[derive(Clone)]
struct Later(Arc<Mutex<Vec<Arc<Exchange>>>>, TurnEnd);

impl Later {
    fn new(end: TurnEnd) -> Self {
        Self(Arc::default(), end)
    }

    fn take(&self) -> Vec<Arc<Exchange>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn app(&self) -> Arc<dyn App> {
        let later = self.clone();
        inline(move |exchange| {
            later.0.lock().unwrap().push(exchange);
            later.1.request();
        })
    }
}

#[test]
fn a_turn_without_events_lasts_its_timeout() {
    let mut reactor = Reactor::new().unwrap();
    assert_quiet(&mut reactor, false);
    assert_quiet(&mut reactor, true);
    assert_eq!(
        reactor.turn(NOW, false),
        Turn {
            foreign_ready: false
        }
    );
}

#[test]
fn a_ready_descriptor_ends_the_turn_until_it_was_asked_and_had_nothing_left() {
    let (mut reactor, mut reader, mut writer) = watching();
    assert_quiet(&mut reactor, false);
    writer.write_all(b"ab").unwrap();
    for _ in 0..3 {
        assert!(reactor.turn(LONG, false).foreign_ready);
        assert!(reactor.turn(NOW, false).foreign_ready);
        assert!(reactor.turn(None, false).foreign_ready);
    }
    drain_byte(&mut reader);
    assert!(reactor.turn(None, false).foreign_ready);
    drain_byte(&mut reader);
    assert_quiet(&mut reactor, true);
    assert_quiet(&mut reactor, false);
}

#[test]
fn a_descriptor_that_becomes_ready_between_being_drained_and_the_turn_is_not_lost() {
    let (mut reactor, mut reader, mut writer) = watching();
    for _ in 0..100 {
        writer.write_all(b"a").unwrap();
        assert!(reactor.turn(LONG, false).foreign_ready);
        drain_byte(&mut reader);
        writer.write_all(b"b").unwrap();
        assert!(reactor.turn(LONG, true).foreign_ready);
        drain_byte(&mut reader);
        assert!(!reactor.turn(NOW, true).foreign_ready);
    }
}

#[test]
fn a_descriptor_that_becomes_ready_during_the_turn_ends_it() {
    let (mut reactor, mut reader, mut writer) = watching();
    thread::scope(|scope| {
        let (go, start) = std::sync::mpsc::channel();
        scope.spawn(move || {
            for () in start {
                writer.write_all(b"a").unwrap();
            }
        });
        for round in 0..200 {
            go.send(()).unwrap();
            let drained = round > 0;
            assert!(reactor.turn(LONG, drained).foreign_ready);
            drain_byte(&mut reader);
        }
        drop(go);
    });
}

#[test]
fn a_descriptor_that_is_no_longer_watched_ends_nothing() {
    let (mut reactor, reader, mut writer) = watching();
    writer.write_all(b"a").unwrap();
    assert!(reactor.turn(LONG, false).foreign_ready);
    reactor.unwatch();
    assert_quiet(&mut reactor, false);
    reactor.watch(reader.into()).unwrap();
    assert!(reactor.turn(LONG, false).foreign_ready);
}

// kqueue can watch regular files.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_watched_is_an_error() {
    let mut reactor = Reactor::new().unwrap();
    let regular = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    assert!(reactor
        .watch(regular.into())
        .unwrap_err()
        .raw_os_error()
        .is_some());
    assert_quiet(&mut reactor, false);
}

#[test]
fn a_request_between_turns_ends_the_next_one_and_only_that() {
    let mut reactor = Reactor::new().unwrap();
    let end = reactor.end();
    end.request();
    end.request();
    assert_eq!(
        reactor.turn(None, false),
        Turn {
            foreign_ready: false
        }
    );
    assert_quiet(&mut reactor, false);
}

#[test]
fn a_request_from_another_thread_ends_a_waiting_turn() {
    let mut reactor = Reactor::new().unwrap();
    let end = reactor.end();
    thread::scope(|scope| {
        let (go, start) = std::sync::mpsc::channel();
        scope.spawn(move || {
            for () in start {
                end.request();
            }
        });
        for _ in 0..500 {
            go.send(()).unwrap();
            assert_eq!(
                reactor.turn(None, false),
                Turn {
                    foreign_ready: false
                }
            );
        }
        drop(go);
    });
    assert_quiet(&mut reactor, false);
}

#[test]
fn turns_without_time_still_serve() {
    let mut reactor = Reactor::new().unwrap();
    let (_server, address) = serve(&reactor, saying("ok"));
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        for _ in 0..20 {
            client.get("/");
            assert_eq!(client.response().text(), "ok");
        }
    });
    while !client.is_finished() {
        reactor.turn(NOW, false);
    }
    client.join().unwrap();
}

#[test]
fn a_descriptor_that_is_always_ready_does_not_starve_connections() {
    let (mut reactor, _reader, mut writer) = watching();
    writer.write_all(b"a").unwrap();
    let (_server, address) = serve(&reactor, saying("ok"));
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        for _ in 0..20 {
            client.get("/");
            assert_eq!(client.response().text(), "ok");
        }
    });
    let mut ready = 0;
    while !client.is_finished() {
        ready += usize::from(reactor.turn(None, false).foreign_ready);
    }
    assert!(ready > 0);
    client.join().unwrap();
}

#[test]
fn connections_that_are_always_busy_do_not_hide_a_ready_descriptor() {
    let (mut reactor, mut reader, mut writer) = watching();
    let (_server, address) = serve(&reactor, saying("ok"));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Acquire) {
                    client.get("/");
                    assert_eq!(client.response().text(), "ok");
                }
            })
        })
        .collect();
    for round in 0..50 {
        writer.write_all(b"a").unwrap();
        assert!(reactor.turn(LONG, round > 0).foreign_ready);
        drain_byte(&mut reader);
    }
    stop.store(true, Ordering::Release);
    while !clients.iter().all(thread::JoinHandle::is_finished) {
        reactor.turn(NOW, true);
    }
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
}

#[test]
fn what_is_answered_between_turns_is_sent_in_the_next_one() {
    let mut reactor = Reactor::new().unwrap();
    let later = Later::new(reactor.end());
    let (_server, address) = serve(&reactor, later.app());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..100 {
                    client.get("/");
                    assert_eq!(client.response().text(), "later");
                }
            })
        })
        .collect();
    let mut answered = 0;
    while answered < 400 {
        // Without a timeout: a wake-up that is lost hangs here.
        reactor.turn(None, false);
        for exchange in later.take() {
            respond(&exchange, 200, b"later");
            assert_eq!(exchange.finish(), Finish::Complete);
            answered += 1;
        }
    }
    while !clients.iter().all(thread::JoinHandle::is_finished) {
        reactor.turn(NOW, false);
    }
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
}

#[test]
fn what_another_thread_answers_during_a_turn_is_sent_in_it() {
    let mut reactor = Reactor::new().unwrap();
    let end = reactor.end();
    let (work, jobs) = std::sync::mpsc::channel::<Arc<Exchange>>();
    let (_server, address) = serve(
        &reactor,
        inline(move |exchange| work.send(exchange).unwrap()),
    );
    let worker = thread::spawn(move || {
        for exchange in jobs.iter().take(200) {
            respond(&exchange, 200, b"elsewhere");
        }
    });
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        for _ in 0..200 {
            client.get("/");
            assert_eq!(client.response().text(), "elsewhere");
        }
        end.request();
        client
    });
    // The client ends this one turn, when it has all of its responses.
    reactor.turn(None, false);
    client.join().unwrap();
    worker.join().unwrap();
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn an_application_outside_the_runtime_is_woken_by_its_own_waker() {
    let mut reactor = Reactor::new().unwrap();
    let later = Later::new(reactor.end());
    let (_server, address) = serve(&reactor, later.app());
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    reactor.turn(None, false);
    let exchange = later.take().remove(0);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    assert!(exchange
        .poll_receive(&mut Context::from_waker(&waker))
        .is_pending());
    client.send("hi");
    while !flag.0.load(Ordering::Acquire) {
        reactor.turn(NOW, false);
    }
    let received = exchange.poll_receive(&mut Context::from_waker(&waker));
    assert!(
        matches!(
            received,
            Poll::Ready(fastr_engine::Received::Body { more: false, .. })
        ),
        "{received:?}"
    );
    drop(client);
    assert!(exchange
        .poll_receive(&mut Context::from_waker(&waker))
        .is_pending());
    flag.0.store(false, Ordering::Release);
    while !flag.0.load(Ordering::Acquire) {
        reactor.turn(NOW, false);
    }
    assert!(exchange.is_disconnected());
}

#[test]
fn a_reactor_that_is_dropped_closes_its_connections_tells_their_applications_and_keeps_nothing() {
    let (mut reactor, _reader, _writer) = watching();
    let later = Later::new(reactor.end());
    let (server, address) = serve(&reactor, later.app());
    let mut clients = [Client::connect(address), Client::connect(address)];
    let mut exchanges = Vec::new();
    for client in &mut clients {
        client.get("/");
    }
    while exchanges.len() < 2 {
        reactor.turn(None, false);
        exchanges.extend(later.take());
    }
    respond(&exchanges[0], 200, b"too late");
    drop(server);
    drop(reactor);
    for client in &mut clients {
        client.assert_closed();
    }
    for exchange in exchanges {
        assert!(exchange.is_disconnected());
        exchange.finish();
        assert_eq!(Arc::strong_count(&exchange), 1);
    }
}

#[test]
fn a_drain_ends_the_turn_and_the_last_connection_does_too() {
    let mut reactor = Reactor::new().unwrap();
    let later = Later::new(reactor.end());
    let (server, address) = serve(&reactor, later.app());
    let mut client = Client::connect(address);
    client.get("/");
    reactor.turn(None, false);
    let exchange = later.take().remove(0);
    server.drain();
    reactor.turn(None, false);
    assert_eq!(server.open_connections(), 1);
    respond(&exchange, 200, b"ok");
    while server.open_connections() > 0 {
        reactor.turn(None, false);
    }
    assert_eq!(client.response().text(), "ok");
    client.assert_closed();
}
