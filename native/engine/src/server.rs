//! Accepts connections and ends them.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::activity::{Connections, Ending, SWEEP_INTERVAL};
use crate::connection::{serve, Shared};
use crate::events::tell;
use crate::listener::Accepting;
use crate::stream::Stream;
use crate::{EngineError, Limits, Listener, Reactor, Router};

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. It lives as long as its reactor takes turns; dropping it stops accepting.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    draining: Arc<AtomicBool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    sweeping: JoinHandle<()>,
}

impl Server {
    /// Serves connections while `reactor` takes turns: those that `listener` accepts, and those that are given to
    /// [`Server::adopt`].
    pub fn start(
        reactor: &Reactor,
        listener: Option<Listener>,
        router: Arc<Router>,
        limits: Limits,
    ) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared {
            limits,
            router,
            turn: reactor.end(),
        });
        let connections = Arc::new(Connections::default());
        let draining = Arc::new(AtomicBool::new(false));
        let inside = reactor.handle().enter();
        let accepting = listener.map(Listener::listen).transpose()?;
        let accepting = accepting.map(|listener| {
            tokio::spawn(accept(
                listener,
                shared.clone(),
                connections.clone(),
                draining.clone(),
            ))
        });
        let sweeping = tokio::spawn(sweep(shared.clone(), connections.clone()));
        drop(inside);
        Ok(Self {
            handle: reactor.handle().clone(),
            shared,
            connections,
            draining,
            accepting: Mutex::new(accepting),
            sweeping,
        })
    }

    /// Serves a connection that another process has accepted.
    pub fn adopt(&self, descriptor: OwnedFd) -> Result<(), EngineError> {
        let _inside = self.handle.enter();
        let stream = Stream::adopt(descriptor).map_err(EngineError::Runtime)?;
        open(stream, &self.shared, &self.connections, &self.draining);
        self.shared.turn.request();
        Ok(())
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Closes the listening socket and idle connections; each other one closes after the request it serves.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        if let Some(accepting) = self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            accepting.abort();
        }
        self.connections.order_all(Ending::Drain);
        self.shared.turn.request();
    }

    /// Closes every connection now, whatever it does.
    pub fn abort(&self) {
        self.drain();
        self.connections.order_all(Ending::Kill);
        self.shared.turn.request();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(accepting) = self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            accepting.abort();
        }
        self.sweeping.abort();
    }
}

async fn accept(
    listener: Accepting,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    draining: Arc<AtomicBool>,
) {
    loop {
        poll_fn(|cx| {
            if connections.len() < shared.limits.max_connections {
                return Poll::Ready(());
            }
            connections.watch(cx.waker());
            tell!(
                shared.turn,
                WARN,
                open = connections.len(),
                "at the limit of connections: new ones wait"
            );
            Poll::Pending
        })
        .await;
        match listener.accept().await {
            Ok(stream) => {
                open(stream, &shared, &connections, &draining);
            }
            // A client that reset before it was accepted; a process without a free descriptor must not spin.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tell!(shared.turn, WARN, %error, "no connection can be accepted for now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn open(
    stream: Stream,
    shared: &Arc<Shared>,
    connections: &Arc<Connections>,
    draining: &AtomicBool,
) {
    let (id, activity) = connections.add();
    tell!(
        shared.turn,
        DEBUG,
        client = %stream.client(),
        open = connections.len(),
        "connection accepted"
    );
    if draining.load(Ordering::Acquire) {
        activity.order(Ending::Drain);
    }
    let guard = OpenConnection {
        id,
        connections: connections.clone(),
        shared: shared.clone(),
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let _guard = guard;
        serve(stream, shared, activity).await;
    });
}

/// Takes a connection off the list however its task ends, a panic included.
struct OpenConnection {
    id: u64,
    connections: Arc<Connections>,
    shared: Arc<Shared>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.remove(self.id);
        tell!(
            self.shared.turn,
            DEBUG,
            open = self.connections.len(),
            "connection closed"
        );
        if self.connections.len() == 0 {
            // A drain waits for the last connection.
            self.shared.turn.request();
        }
    }
}

async fn sweep(shared: Arc<Shared>, connections: Arc<Connections>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let now = Instant::now();
        let elapsed = u64::try_from((now - last).as_millis()).unwrap_or(u64::MAX);
        last = now;
        let ended = connections.sweep(elapsed, &shared.limits);
        if ended > 0 {
            tell!(shared.turn, DEBUG, ended, "connections ran out of time");
        }
    }
}
