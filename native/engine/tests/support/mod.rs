//! A served application in a thread of its own, and clients whose every byte is the test's.
//!
//! Nothing here sleeps to wait: a client blocks on its socket, a test on what the application tells it.

#![allow(dead_code)] // every test file uses a part of it

pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod panics;
pub(crate) mod sockets;

use std::future::{poll_fn, Future};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastr_engine::{App, Exchange, Limits, Listener, Reactor, Received, Router, Server, TurnEnd};

pub(crate) use client::{Client, Response};

/// Longer than anything may take; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

struct Called<F>(F);

impl<F: Fn(Arc<Exchange>) + Send + Sync + 'static> App for Called<F> {
    fn call(&self, exchange: Arc<Exchange>) {
        (self.0)(exchange);
    }
}

/// An application that answers in the call itself.
pub(crate) fn inline(answer: impl Fn(Arc<Exchange>) + Send + Sync + 'static) -> Arc<dyn App> {
    Arc::new(Called(answer))
}

/// An application that answers from a task on the reactor, and ends its exchange however the task ends.
pub(crate) fn task<F, T>(answer: F) -> Arc<dyn App>
where
    F: Fn(Arc<Exchange>) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    inline(move |exchange| {
        let work = answer(exchange.clone());
        tokio::spawn(async move {
            work.await;
            exchange.finish();
        });
    })
}

/// Answers every request with 200 and `body`.
pub(crate) fn saying(body: &'static str) -> Arc<dyn App> {
    inline(move |exchange| respond(&exchange, 200, body.as_bytes()))
}

/// Answers with method, path and the whole body of the request.
pub(crate) fn echo() -> Arc<dyn App> {
    task(|exchange| async move {
        let Some(body) = whole_body(&exchange).await else {
            return;
        };
        let head = exchange.head();
        let mut answer = format!("{} {} ", head.method, head.uri).into_bytes();
        answer.extend_from_slice(&body);
        respond(&exchange, 200, &answer);
    })
}

/// A complete response in one piece.
pub(crate) fn respond(exchange: &Arc<Exchange>, status: u16, body: &[u8]) {
    start(exchange, status, &[]);
    exchange.send(Bytes::copy_from_slice(body), false).unwrap();
}

pub(crate) fn start(exchange: &Exchange, status: u16, headers: &[(&str, &str)]) {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    exchange.start(status, headers).unwrap();
}

pub(crate) async fn receive(exchange: &Arc<Exchange>) -> Received {
    poll_fn(|cx| exchange.poll_receive(cx)).await
}

pub(crate) async fn room(exchange: &Exchange) {
    poll_fn(|cx| exchange.poll_room(cx)).await;
}

/// The request's body, or none when the client went away before its end.
pub(crate) async fn whole_body(exchange: &Arc<Exchange>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        match receive(exchange).await {
            Received::Body { bytes, more } => {
                body.extend_from_slice(&bytes);
                if !more {
                    return Some(body);
                }
            }
            Received::Disconnected => return None,
        }
    }
}

/// Holds an application back until the test opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }

    pub(crate) async fn opened(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What an application tells its test.
pub(crate) struct News<T>(Receiver<T>);

impl<T> News<T> {
    pub(crate) fn next(&self) -> T {
        self.0
            .recv_timeout(PATIENCE)
            .expect("the application is silent")
    }

    pub(crate) fn latest(&self) -> Option<T> {
        self.0.try_recv().ok()
    }

    pub(crate) fn none_yet(&self) -> bool {
        self.0.try_recv().is_err()
    }
}

pub(crate) fn news<T>() -> (Sender<T>, News<T>) {
    let (sender, receiver) = mpsc::channel();
    (sender, News(receiver))
}

/// A server whose reactor turns in its own thread until this is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<Server>,
    pub(crate) router: Arc<Router>,
    end: TurnEnd,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn new(app: Arc<dyn App>) -> Self {
        Self::limited(app, Limits::default())
    }

    pub(crate) fn limited(app: Arc<dyn App>, limits: Limits) -> Self {
        let router = Arc::new(Router::new());
        router.mount("", app).unwrap();
        Self::routed(router, limits)
    }

    pub(crate) fn routed(router: Arc<Router>, limits: Limits) -> Self {
        let mut reactor = Reactor::new().unwrap();
        let listener = Listener::bind("127.0.0.1", 0).unwrap();
        let address = listener.address().tcp().unwrap();
        let server =
            Arc::new(Server::start(&reactor, Some(listener), router.clone(), limits).unwrap());
        let end = reactor.end();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            while !stopping.load(Ordering::Acquire) {
                reactor.turn(None, false);
            }
        });
        Self {
            address,
            server,
            router,
            end,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Lets the reactor work until something holds that nobody reports.
    pub(crate) fn until(&self, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "it never came to hold");
            thread::yield_now();
        }
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Response {
        let mut client = self.client();
        client.get(path);
        client.response()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.end.request();
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(()))),
                "the reactor's thread panicked"
            );
        }
    }
}
