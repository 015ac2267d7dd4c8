//! TLS: whom the generator shakes hands with, and what a handshake that fails is called.

#![allow(clippy::unwrap_used)] // also in helpers, which clippy does not know for tests

mod certs;
mod server;

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use certs::{target, Authority};
use fastr_loadgen::{
    once, run, run_paired, Check, EarlyEnd, LoadError, LoadResult, Outcome, Plan, Roots, Stop,
    Target, Tls,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ALL_VERSIONS};
use server::{answer, get, nobody, paired_plan, plan, Server, OK};

/// Answers every request well, encrypted.
fn answering(config: Arc<ServerConfig>) -> Server {
    Server::start_tls(config, |peer| {
        while peer.request()? {
            peer.send(OK)?;
        }
        Ok(())
    })
}

/// Runs until nothing but failed attempts to connect came for a while, and returns their reasons.
fn nothing_but(outcome: Outcome, target: &Target, plan: &Plan) -> Vec<String> {
    let result = run(target, plan, &mut ()).unwrap();
    assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
    assert!(result.requests > 0);
    assert_eq!(
        result.outcomes.of(outcome),
        result.requests,
        "{:?}",
        result.outcomes
    );
    assert!(result.connect.is_empty() && result.histogram.is_empty());
    let details = result.outcomes.details().get(&outcome);
    details.map_or_else(Vec::new, |details| details.keys().cloned().collect())
}

#[test]
fn a_trusted_server_is_loaded_by_its_name_and_by_its_address() {
    let authority = Authority::new();
    let server = answering(authority.usual());
    let roots = Roots::Pem(authority.pem.clone());
    for name in ["localhost", "127.0.0.1"] {
        let before = (server.requests(), server.connections());
        let target = target(server.addr, name, &roots);
        let result = run(&target, &plan(3, 60), &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 60, "{:?}", result.outcomes);
        assert_eq!(server.requests() - before.0, 60);
        assert_eq!(server.connections() - before.1, 3);
        assert_eq!(result.bytes_received, 60 * OK.len() as u64);
        assert_eq!((result.connect.len(), result.reconnects), (3, 0));
    }
}

#[test]
fn several_trusted_certificates_may_be_given() {
    let (one, other) = (Authority::new(), Authority::new());
    let server = answering(other.usual());
    let roots = Roots::Pem([one.pem, other.pem].concat());
    let target = target(server.addr, "localhost", &roots);
    let result = run(&target, &plan(1, 5), &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 5);
}

/// A server whose certificate signed itself, as an authority's does, and what makes a client trust it.
fn signed_by_itself(params: CertificateParams) -> (Server, Roots) {
    let mut params = params;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let roots = Roots::Pem(certificate.pem().into_bytes());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (answering(Arc::new(config)), roots)
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_listed() {
    let names = || CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (server, roots) = signed_by_itself(names());
    let result = run(
        &target(server.addr, "localhost", &roots),
        &plan(1, 5),
        &mut (),
    )
    .unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 5, "{:?}", result.outcomes);

    let mut expired = names();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (old, roots_of_old) = signed_by_itself(expired);
    for (refused, reason) in [
        (
            target(server.addr, "127.0.0.1", &roots),
            "not valid for name",
        ),
        (target(old.addr, "localhost", &roots_of_old), "expired"),
        (
            target(server.addr, "localhost", &roots_of_old),
            "CaUsedAsEndEntity",
        ),
    ] {
        let details = nothing_but(Outcome::TlsFailed, &refused, &plan(1, 100));
        assert!(
            details.iter().all(|one| one.contains(reason)),
            "{details:?}"
        );
    }
}

#[test]
fn a_server_of_another_name_is_not_talked_to() {
    let authority = Authority::new();
    let server = answering(authority.usual());
    let roots = Roots::Pem(authority.pem.clone());
    let target = target(server.addr, "other.test", &roots);
    let reasons = nothing_but(Outcome::TlsFailed, &target, &plan(2, 10));
    assert!(
        reasons.iter().all(|reason| reason.contains("certificate")),
        "{reasons:?}"
    );
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_server_that_nobody_trusts_is_talked_to_only_unverified() {
    let (trusted, other) = (Authority::new(), Authority::new());
    for versions in [&[&TLS12], &[&TLS13]] {
        let server = answering(Arc::new(other.server(versions)));
        let strict = trusted.target(server.addr);
        let reasons = nothing_but(Outcome::TlsFailed, &strict, &plan(2, 10));
        assert!(
            reasons.iter().all(|reason| reason.contains("certificate")),
            "{reasons:?}"
        );
        assert_eq!(server.requests(), 0);

        let lax = target(server.addr, "anything.test", &Roots::Unverified);
        let result = run(&lax, &plan(2, 10), &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 10);
    }
}

#[test]
fn a_certificate_that_is_over_is_not_believed() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let server = answering(Arc::new(authority.server_with(params, ALL_VERSIONS)));
    nothing_but(
        Outcome::TlsFailed,
        &authority.target(server.addr),
        &plan(1, 10),
    );
    assert_eq!(server.requests(), 0);
}

#[test]
fn http_1_1_is_what_is_asked_for_and_nothing_else_is_taken() {
    let authority = Authority::new();
    let offering = |protocols: &[&str]| {
        let mut config = authority.server(ALL_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|&name| name.into()).collect();
        Server::start_tls(Arc::new(config), |peer| {
            while peer.request()? {
                let session = peer.session.as_ref().unwrap();
                let protocol = session.alpn_protocol().unwrap_or(b"none").escape_ascii();
                let name = session.server_name().unwrap_or("nobody");
                let body = format!("{protocol} for {name}");
                peer.send(&answer("", body))?;
            }
            Ok(())
        })
    };
    for (protocols, said) in [
        (&["h2", "http/1.1"][..], "http/1.1 for localhost"),
        (&[], "none for localhost"),
    ] {
        let server = offering(protocols);
        let mut plan = plan(1, 3);
        plan.requests[0].checks = vec![Check::Contains(said.as_bytes().to_vec())];
        let result = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 3, "{:?}", result.outcomes);
    }
    let server = offering(&["h2"]);
    nothing_but(
        Outcome::TlsFailed,
        &authority.target(server.addr),
        &plan(1, 3),
    );
}

#[test]
fn an_old_server_is_understood() {
    let authority = Authority::new();
    for versions in [&[&TLS12], &[&TLS13]] {
        let server = answering(Arc::new(authority.server(versions)));
        let result = run(&authority.target(server.addr), &plan(2, 40), &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 40, "{:?}", result.outcomes);
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_a_failed_handshake() {
    const WIRES: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"220 mail.example ESMTP ready\r\n",
        &[0; 64],
        &[0x16, 0x03, 0x03, 0xff, 0xff, 1, 2, 3],
    ];
    let authority = Authority::new();
    for wire in WIRES {
        let server = Server::start(move |peer| {
            peer.stream.read_exact(&mut [0])?;
            peer.send(wire)?;
            peer.wait_for_close()
        });
        let target = authority.target(server.addr);
        let reasons = nothing_but(Outcome::TlsFailed, &target, &plan(2, 10));
        assert!(!reasons.is_empty(), "{}", wire.escape_ascii());
        let timeout = Duration::from_secs(30);
        let result = once(target.addr, &get("/"), timeout, 0, &mut ()).unwrap();
        assert_eq!(result.outcome, Outcome::TlsFailed);
        assert!(!result.detail.is_empty());
    }
}

#[test]
fn a_server_that_hangs_up_in_the_handshake_is_a_failed_handshake() {
    let authority = Authority::new();
    for resets in [false, true] {
        let server = Server::start(move |peer| {
            peer.stream.read_exact(&mut [0; 5])?;
            // Unread bytes make a close a reset, too.
            match resets {
                true => peer.reset_on_close(),
                false => peer.stream.shutdown(std::net::Shutdown::Write)?,
            }
            match resets {
                true => Ok(()),
                false => peer.wait_for_close(),
            }
        });
        let target = authority.target(server.addr);
        nothing_but(Outcome::TlsFailed, &target, &plan(2, 10));
    }
}

#[test]
fn a_server_that_wants_to_see_a_certificate_is_a_failure_of_tls() {
    let authority = Authority::new();
    for versions in [&[&TLS12], &[&TLS13]] {
        let config = Arc::new(authority.server_of_members(versions));
        let server = Server::start_tls(config, |peer| match peer.request() {
            // A close now, with the request unread, would be a reset.
            Err(_) => peer.wait_for_close(),
            Ok(_) => peer.send(OK),
        });
        let target = authority.target(server.addr);
        let result = run(&target, &plan(1, 10), &mut ()).unwrap();
        assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
        let outcomes = &result.outcomes;
        assert_eq!(
            outcomes.of(Outcome::TlsFailed),
            result.requests,
            "{outcomes:?}"
        );
        assert_eq!(server.requests(), 0);
    }
}

#[test]
fn where_nobody_listens_it_is_a_refusal_and_no_failed_handshake() {
    let target = Authority::new().target(nobody());
    nothing_but(Outcome::ConnectRefused, &target, &plan(2, 10));
}

#[test]
fn a_handshake_that_is_never_answered_is_a_connect_timeout() {
    let authority = Authority::new();
    // Nothing at all, and the beginning of a record.
    const BEGINNINGS: [&[u8]; 2] = [b"", &[0x16, 0x03, 0x03, 0x00, 0x7a, 0x02]];
    for beginning in BEGINNINGS {
        let server = Server::start(move |peer| {
            peer.send(beginning)?;
            peer.wait_for_close()
        });
        let mut plan = plan(2, 10);
        plan.connect_timeout = Duration::from_millis(40);
        let started = Instant::now();
        let target = authority.target(server.addr);
        nothing_but(Outcome::ConnectTimeout, &target, &plan);
        assert!(started.elapsed() < Duration::from_secs(20));
        let result = once(target.addr, &get("/"), plan.connect_timeout, 0, &mut ()).unwrap();
        assert_eq!(result.outcome, Outcome::ConnectTimeout);
        assert!(result.detail.contains("40ms"), "{}", result.detail);
    }
}

#[test]
fn a_handshake_that_trickles_past_its_time_is_a_connect_timeout() {
    let authority = Authority::new();
    let server = Server::start(|peer| {
        // A record of 16,000 bytes, one every few milliseconds.
        peer.send(&[0x16, 0x03, 0x03, 0x3e, 0x80])?;
        loop {
            peer.send(&[2])?;
            thread::sleep(Duration::from_millis(3));
        }
    });
    let mut plan = plan(2, 10);
    plan.connect_timeout = Duration::from_millis(60);
    let target = authority.target(server.addr);
    nothing_but(Outcome::ConnectTimeout, &target, &plan);
}

#[test]
fn connect_times_contain_the_handshake_and_service_times_do_not() {
    const DELAY: Duration = Duration::from_millis(40);
    let authority = Authority::new();
    let server = Server::start_tls(authority.usual(), |peer| {
        thread::sleep(DELAY);
        while peer.request()? {
            peer.send(OK)?;
        }
        Ok(())
    });
    let mut plan = plan(2, 12);
    plan.keep_alive = false;
    let result = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 12, "{:?}", result.outcomes);
    assert_eq!((server.connections(), result.connect.len()), (12, 12));
    let delay_ns = DELAY.as_nanos() as u64;
    assert_eq!(result.connect.count_between(0, delay_ns * 99 / 100), 0);
    assert!(result.histogram.quantile_ns(0.5) < delay_ns);
    assert_eq!(result.reconnects, 0);
}

#[test]
fn sessions_are_resumed_where_the_server_lets_them() {
    let authority = Authority::new();
    for versions in [&[&TLS12], &[&TLS13]] {
        let resumed = Arc::new(AtomicU64::new(0));
        let count = resumed.clone();
        let config = Arc::new(authority.server(versions));
        let server = Server::start_tls(config, move |peer| {
            while peer.request()? {
                let kind = peer.session.as_ref().unwrap().handshake_kind();
                let is_resumed = kind == Some(HandshakeKind::Resumed);
                count.fetch_add(u64::from(is_resumed), Ordering::SeqCst);
                peer.send(OK)?;
            }
            Ok(())
        });
        let mut plan = plan(1, 20);
        plan.keep_alive = false;
        let result = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 20, "{:?}", result.outcomes);
        assert_eq!(resumed.load(Ordering::SeqCst), 19);
    }
}

#[test]
fn without_resumption_every_connection_shakes_hands_anew() {
    let authority = Authority::new();
    let mut config = authority.server(ALL_VERSIONS);
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    let server = answering(Arc::new(config));
    let mut plan = plan(2, 20);
    plan.keep_alive = false;
    let result = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), 20, "{:?}", result.outcomes);
    assert_eq!(server.connections(), 20);
}

#[test]
fn many_connections_are_opened_and_kept() {
    let authority = Authority::new();
    let server = answering(authority.usual());
    let result = run(&authority.target(server.addr), &plan(100, 1_000), &mut ()).unwrap();
    assert_eq!(
        result.outcomes.of(Outcome::Ok),
        1_000,
        "{:?}",
        result.outcomes
    );
    assert_eq!(server.connections(), 100);
    assert_eq!((result.connect.len(), result.reconnects), (100, 0));
}

#[test]
fn a_stretch_by_time_counts_what_the_server_counts() {
    let authority = Authority::new();
    let server = answering(authority.usual());
    let plan = Plan {
        stop: Stop::Duration(Duration::from_millis(200)),
        ..plan(4, 1)
    };
    let result: LoadResult = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
    assert_eq!(result.outcomes.of(Outcome::Ok), server.requests());
    assert_eq!(result.outcomes.failed(), 0);
}

#[test]
fn two_encrypted_servers_are_loaded_in_turn() {
    let authority = Authority::new();
    let [a, b] = [(); 2].map(|()| answering(authority.usual()));
    let plan = paired_plan([vec![get("/a")], vec![get("/b")]]);
    let targets = [&a, &b].map(|server| authority.target(server.addr));
    let result = run_paired(&targets, &plan, &mut ()).unwrap();
    for (side, server) in result.sides.iter().zip([&a, &b]) {
        assert_eq!(side.outcomes.of(Outcome::Ok), side.requests);
        assert_eq!(side.requests + side.calibration_requests, server.requests());
        assert_eq!(server.connections(), 2);
    }
    assert!(!result.blocks.is_empty());
}

#[test]
fn trust_in_nothing_is_refused_before_a_run() {
    let refused = |name: &str, roots: &Roots| match Tls::new(name, roots) {
        Err(error @ LoadError::Tls(_)) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{name:?} is trusted"),
    };
    let pem = Authority::new().pem;
    refused("localhost", &Roots::Pem(Vec::new()));
    refused("localhost", &Roots::Pem(b"no certificate".to_vec()));
    let mut broken = pem.clone();
    let middle = broken.len() / 2;
    broken[middle] = b'!';
    refused("localhost", &Roots::Pem(broken));
    let words = refused("not a name", &Roots::Pem(pem));
    assert!(words.contains("not a name"), "{words}");
}

#[test]
fn records_that_come_byte_by_byte_are_read() {
    let authority = Authority::new();
    for versions in [&[&TLS12], &[&TLS13]] {
        let config = Arc::new(authority.server(versions));
        let server = Server::start_tls(config, |peer| {
            peer.most_at_once = 1;
            while peer.request()? {
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                for part in [&b"3\r\n"[..], b"abc", b"\r\n2\r\nde\r\n0\r", b"\n\r\n"] {
                    peer.send(part)?;
                }
            }
            Ok(())
        });
        let mut plan = plan(2, 6);
        plan.requests[0].checks = vec![Check::Contains(b"abcde".to_vec()), Check::BodyBytes(5)];
        let result = run(&authority.target(server.addr), &plan, &mut ()).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 6, "{:?}", result.outcomes);
        assert_eq!(server.connections(), 2);
    }
}
