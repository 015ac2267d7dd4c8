//! The connections to one server, and the send loop: written once, for every kind of run.
//!
//! A free connection is *offered* to the [`Driver`], which hands it a request or lets it rest; the request is
//! started (after connecting, where need be), its answer read, the driver told, and the connection offered again,
//! so that a closed loop writes right after it has read. [`crate::reactor`] owns the poll and calls in here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Duration;

use mio::{Interest, Registry, Token};

use crate::clock::{as_ns, Clock};
use crate::conn::{connect_outcome, Connection, Job, State, Step};
use crate::control::Tally;
use crate::driver::{Driver, Exchange, Fault, Next};
use crate::outcome::Outcome;
use crate::plan::Address;
use crate::request::{MethodTraits, Request};
use crate::response::Sink;
use crate::transport::Stream;
use crate::users::Users;
use crate::wait::Ready;

/// A connection that could not be made is not tried again before this time, so that a dead server is not hammered.
const CONNECT_PAUSE_NS: u64 = 50_000_000;
const BUFFER_BYTES: usize = 64 * 1024;

/// How a pool treats its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) keep_alive: bool,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

/// The connections to one server.
pub(crate) struct Pool<'r> {
    address: Address,
    registry: Registry,
    requests: &'r [Request],
    methods: Vec<MethodTraits>,
    settings: Settings,
    clock: Clock,
    connections: Vec<Connection>,
    users: Users<'r>,
    buffer: Box<[u8]>,
    /// Jobs that are not over, those that wait for their time included.
    jobs: usize,
    /// Sockets being connected.
    opening: usize,
    /// Jobs that are not due yet: when, and on which connection.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    /// Connections that have more to read, though no event will say so again, and whether the server has closed its side.
    unread: Vec<(usize, bool)>,
    /// Connections that wait for a place in the queue of the listener.
    queuing: Vec<usize>,
    tally: Tally,
    bytes_received: u64,
    reconnects: u64,
    resent: u64,
}

impl<'r> Pool<'r> {
    pub(crate) fn new(
        address: Address,
        registry: Registry,
        requests: &'r [Request],
        settings: Settings,
        clock: Clock,
    ) -> Self {
        Self {
            address,
            registry,
            requests,
            methods: requests.iter().map(Request::traits).collect(),
            settings,
            clock,
            connections: Vec::new(),
            users: Users::new(requests, 0, false),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            jobs: 0,
            opening: 0,
            waiting: BinaryHeap::new(),
            unread: Vec::new(),
            queuing: Vec::new(),
            tally: Tally::default(),
            bytes_received: 0,
            reconnects: 0,
            resent: 0,
        }
    }

    /// Gives each user so many values and, if told so, cookies. Called before there are connections.
    pub(crate) fn equip_users(&mut self, slots: usize, cookies: bool) {
        self.users = Users::new(self.requests, slots, cookies);
    }

    /// The users, for who gives them values.
    pub(crate) fn users(&mut self) -> &mut Users<'r> {
        &mut self.users
    }

    /// Makes it this many connections; those above are closed. Called only while nothing is in flight.
    pub(crate) fn resize(&mut self, connections: usize) {
        self.connections.resize_with(connections, Connection::new);
        self.users.resize(connections);
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn has_jobs(&self) -> bool {
        self.jobs > 0
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.opening > 0
    }

    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// When the next waiting job is due.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.peek().map(|&Reverse((due_ns, _))| due_ns)
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    pub(crate) fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    pub(crate) fn reconnects(&self) -> u64 {
        self.reconnects
    }

    /// What was counted so far is set aside: only what comes now is in the counts.
    pub(crate) fn begin_counting(&mut self) {
        self.bytes_received = 0;
        self.reconnects = 0;
        self.resent = 0;
        for connection in &mut self.connections {
            connection.requests = 0;
        }
    }

    /// Requests that were sent a second time.
    pub(crate) fn resent(&self) -> u64 {
        self.resent
    }

    /// The fewest and the most requests that one connection has carried.
    pub(crate) fn balance(&self) -> (u64, u64) {
        let requests = || {
            self.connections
                .iter()
                .map(|connection| connection.requests)
        };
        (
            requests().min().unwrap_or_default(),
            requests().max().unwrap_or_default(),
        )
    }

    /// Begins to open every closed connection, without a request.
    pub(crate) fn open_all<D: Driver>(&mut self, driver: &mut D) {
        for index in 0..self.connections.len() {
            if self.connections[index].state == State::Closed {
                self.open(index, driver);
            }
        }
    }

    /// Offers a connection that carries nothing to the driver; it starts nothing before `earliest_ns`.
    pub(crate) fn offer<D: Driver>(
        &mut self,
        index: usize,
        now_ns: u64,
        earliest_ns: u64,
        driver: &mut D,
    ) {
        let Next::Send { request, due_ns } = driver.next(index, now_ns, &mut self.users) else {
            return;
        };
        self.jobs += 1;
        self.connections[index].job = Some(Job {
            request,
            written: 0,
            due_ns,
            sent_ns: 0,
            retried: false,
        });
        let start_ns = due_ns.max(earliest_ns);
        if start_ns <= now_ns {
            self.start(index, now_ns, driver);
        } else {
            self.waiting.push(Reverse((start_ns, index)));
        }
    }

    /// Starts every waiting job that has become due.
    pub(crate) fn start_due<D: Driver>(&mut self, now_ns: u64, driver: &mut D) {
        while let Some(&Reverse((due_ns, index))) = self.waiting.peek() {
            if due_ns > now_ns {
                return;
            }
            self.waiting.pop();
            driver.woke(now_ns - due_ns);
            self.start(index, now_ns, driver);
        }
    }

    fn start<D: Driver>(&mut self, index: usize, now_ns: u64, driver: &mut D) {
        match self.connections[index].state {
            State::Closed => self.open(index, driver),
            State::Idle => self.send(index, now_ns, driver),
            // The socket is being connected without a request; it is sent as soon as that is done.
            State::Opening | State::Busy => {}
        }
    }

    fn open<D: Driver>(&mut self, index: usize, driver: &mut D) {
        let connection = &mut self.connections[index];
        self.reconnects += u64::from(connection.lost && self.settings.keep_alive);
        connection.lost = false;
        connection.opened_ns = self.clock.now_ns();
        let registry = &self.registry;
        let opened = Stream::connect(&self.address).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(index), interest)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                connection.stream = Some(stream);
                connection.state = State::Opening;
                self.opening += 1;
            }
            // The queue of a Unix socket's listener is full: there is no event for its next free place.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.state = State::Opening;
                self.opening += 1;
                self.queuing.push(index);
            }
            Err(error) => self.fail(index, connect_outcome(&error), Fault::of(&error), driver),
        }
    }

    /// Whether a connection waits for a place in the queue of the listener.
    pub(crate) fn is_queuing(&self) -> bool {
        !self.queuing.is_empty()
    }

    /// Tries once more to connect what waits for a place.
    pub(crate) fn connect_queuing<D: Driver>(&mut self, driver: &mut D) {
        for index in std::mem::take(&mut self.queuing) {
            let connection = &self.connections[index];
            if connection.state == State::Opening && connection.stream.is_none() {
                let since_ns = connection.opened_ns;
                self.opening -= 1;
                self.connections[index].state = State::Closed;
                self.open(index, driver);
                self.connections[index].opened_ns = since_ns;
            }
        }
    }

    fn send<D: Driver>(&mut self, index: usize, now_ns: u64, driver: &mut D) {
        let connection = &mut self.connections[index];
        let Some(job) = connection.job.as_mut() else {
            return;
        };
        job.sent_ns = now_ns;
        job.written = 0;
        let (request, is_retry) = (job.request, job.retried);
        let out = &mut connection.out;
        connection.is_rendered = self.users.render(index, request, is_retry, out);
        connection.state = State::Busy;
        connection.reader.begin(self.methods[request].is_head);
        let step = connection.write(self.requests[request].fixed_bytes());
        self.settle(index, step, driver);
    }

    /// Acts on an event.
    pub(crate) fn on_event<D: Driver>(&mut self, ready: Ready, driver: &mut D) {
        let index = ready.token;
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        if connection.state == State::Opening && !self.finish_opening(index, driver) {
            return;
        }
        if ready.readable || ready.ended {
            self.receive(index, ready.ended, driver);
        }
        if ready.writable {
            self.write_on(index, driver);
        }
    }

    /// Goes on reading where the last turn broke off.
    pub(crate) fn read_on<D: Driver>(&mut self, driver: &mut D) {
        for (index, ended) in std::mem::take(&mut self.unread) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.is_unread = false;
            }
            self.receive(index, ended, driver);
        }
    }

    /// Whether the connection can be used now.
    fn finish_opening<D: Driver>(&mut self, index: usize, driver: &mut D) -> bool {
        let connection = &mut self.connections[index];
        let Some(stream) = &mut connection.stream else {
            return false;
        };
        match stream.is_connected() {
            Ok(false) => false,
            Ok(true) => {
                let now_ns = self.clock.now_ns();
                self.opening -= 1;
                connection.state = State::Idle;
                driver.connected(now_ns - connection.opened_ns);
                if connection.job.is_some() {
                    self.send(index, now_ns, driver);
                }
                true
            }
            Err(error) => {
                self.fail(index, connect_outcome(&error), Fault::of(&error), driver);
                false
            }
        }
    }

    fn write_on<D: Driver>(&mut self, index: usize, driver: &mut D) {
        let connection = &mut self.connections[index];
        let Some(job) = connection.job else { return };
        let is_flushed = connection.stream.as_ref().is_none_or(Stream::is_flushed);
        if connection.state == State::Busy && (job.written < connection.len || !is_flushed) {
            let step = connection.write(self.requests[job.request].fixed_bytes());
            self.settle(index, step, driver);
        }
    }

    fn receive<D: Driver>(&mut self, index: usize, ended: bool, driver: &mut D) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        if !matches!(connection.state, State::Idle | State::Busy) {
            return;
        }
        let mut tap = Tap {
            users: &mut self.users,
            connection: index,
            driver,
        };
        let got = connection.read(&mut self.buffer, ended, &mut tap);
        self.bytes_received += got.bytes;
        match got.step {
            Step::Unread if connection.is_unread => {}
            Step::Unread => {
                connection.is_unread = true;
                self.unread.push((index, ended));
            }
            step => self.settle(index, step, driver),
        }
    }

    fn settle<D: Driver>(&mut self, index: usize, step: Step, driver: &mut D) {
        match step {
            Step::Pending | Step::Unread => {}
            Step::Answered { answer, closes } => {
                let now_ns = self.clock.now_ns();
                let connection = &mut self.connections[index];
                connection.served += 1;
                if closes || !self.settings.keep_alive {
                    connection.close(true);
                } else {
                    connection.state = State::Idle;
                }
                if let Some(job) = connection.job {
                    let request = &self.requests[job.request];
                    let (outcome, fault) = self.users.judge(index, request, &answer);
                    self.finish(index, now_ns, driver, outcome, answer.status, fault);
                }
                self.offer(index, now_ns, 0, driver);
            }
            // Closed, or worse, while nothing was in flight: opened again when it is needed.
            Step::Broken { .. } if self.connections[index].state == State::Idle => {
                self.connections[index].close(true);
            }
            Step::Broken { outcome, fault } => self.fail(index, outcome, fault, driver),
        }
    }

    /// The socket is of no use any more, and what it was for is over or tried once more.
    fn fail<D: Driver>(&mut self, index: usize, outcome: Outcome, fault: Fault, driver: &mut D) {
        let connection = &mut self.connections[index];
        let is_idempotent = connection
            .job
            .is_some_and(|job| self.methods[job.request].is_idempotent);
        let retry = connection.may_retry(outcome, is_idempotent);
        self.opening -= usize::from(connection.state == State::Opening);
        connection.close(retry);
        match &mut connection.job {
            None => return,
            Some(job) if retry => {
                job.retried = true;
                self.resent += 1;
                return self.open(index, driver);
            }
            Some(_) => {}
        }
        let now_ns = self.clock.now_ns();
        self.finish(index, now_ns, driver, outcome, 0, fault);
        let pause_ns = match outcome.is_connect_failure() {
            true => CONNECT_PAUSE_NS,
            false => 0,
        };
        self.offer(index, now_ns, now_ns + pause_ns, driver);
    }

    /// Counts a job as over and tells the driver. `status`: 0 without a whole answer.
    fn finish<D: Driver>(
        &mut self,
        index: usize,
        now_ns: u64,
        driver: &mut D,
        outcome: Outcome,
        status: u16,
        fault: Fault,
    ) {
        let connection = &mut self.connections[index];
        let Some(job) = connection.job.take() else {
            return;
        };
        self.jobs -= 1;
        connection.requests += 1;
        if driver.counts() {
            self.tally.requests += 1;
            self.tally.errors += u64::from(outcome != Outcome::Ok);
        }
        driver.done(&Exchange {
            connection: index,
            request: job.request,
            outcome,
            status,
            latency_ns: match job.sent_ns {
                0 => 0,
                sent_ns => now_ns - sent_ns,
            },
            response_ns: now_ns.saturating_sub(job.due_ns),
            ended_ns: now_ns,
            fault,
        });
    }

    /// Forgets what waits and is due from `cut_ns` on.
    pub(crate) fn cancel_waiting(&mut self, cut_ns: u64) {
        for Reverse((start_ns, index)) in std::mem::take(&mut self.waiting) {
            let job = &mut self.connections[index].job;
            // It may start later than it is due, after a pause for a server that refused.
            if job.is_some_and(|job| job.due_ns < cut_ns) {
                self.waiting.push(Reverse((start_ns, index)));
            } else {
                *job = None;
                self.jobs -= 1;
            }
        }
    }

    /// Ends everything that is not over, in flight or waiting, and closes those connections. What the driver forgets
    /// was never asked for.
    pub(crate) fn abandon<D: Driver>(&mut self, driver: &mut D) {
        self.waiting.clear();
        let now_ns = self.clock.now_ns();
        for index in 0..self.connections.len() {
            let connection = &mut self.connections[index];
            let Some(job) = connection.job else {
                continue;
            };
            if driver.forgets(job.due_ns, job.sent_ns > 0, now_ns) {
                connection.job = None;
                self.jobs -= 1;
                if connection.state == State::Busy {
                    connection.close(false);
                }
                continue;
            }
            self.opening -= usize::from(connection.state == State::Opening);
            connection.close(false);
            self.finish(index, now_ns, driver, Outcome::Unfinished, 0, Fault::None);
        }
    }

    /// Fails what has taken too long. Looked at now and then instead of with a timer for each request.
    pub(crate) fn expire<D: Driver>(&mut self, now_ns: u64, driver: &mut D) {
        let connect_ns = as_ns(self.settings.connect_timeout);
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            let sent_ns = connection.job.map_or(now_ns, |job| job.sent_ns);
            let own = connection
                .job
                .and_then(|job| self.requests[job.request].timeout);
            let timeout = own.unwrap_or(self.settings.request_timeout);
            let late = |since_ns: u64, limit_ns| now_ns.saturating_sub(since_ns) > limit_ns;
            match connection.state {
                State::Busy if late(sent_ns, as_ns(timeout)) => {
                    let fault = Fault::After(timeout);
                    self.fail(index, Outcome::Timeout, fault, driver);
                }
                State::Opening if late(connection.opened_ns, connect_ns) => {
                    let fault = Fault::After(self.settings.connect_timeout);
                    self.fail(index, Outcome::ConnectTimeout, fault, driver);
                }
                _ => {}
            }
        }
    }
}

/// Shows what is read to its user and to the driver.
struct Tap<'t, 'r, D> {
    users: &'t mut Users<'r>,
    connection: usize,
    driver: &'t mut D,
}

impl<D: Driver> Sink for Tap<'_, '_, D> {
    fn wants_heads(&self) -> bool {
        self.users.want_heads() || self.driver.wants_heads()
    }

    fn head(&mut self, status: u16, headers: &[httparse::Header<'_>]) {
        self.users.head(self.connection, headers);
        self.driver.head(status, headers);
    }

    fn body(&mut self, bytes: &[u8]) {
        self.users.body(self.connection, bytes);
        self.driver.body(bytes);
    }
}
