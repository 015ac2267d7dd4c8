//! One client connection: hyper speaks HTTP, [`Activity`] watches the time.

use std::convert::Infallible;
use std::future::{poll_fn, Future};
use std::io;
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::{Activity, Ending, Phase};
use crate::body::{known, refusal, Pump, ResponseBody};
use crate::events::{is_access_logged, log_access, tell};
use crate::forwarded::origin;
use crate::framing::Framing;
use crate::router::Routed;
use crate::stream::{Address, Stream};
use crate::websocket_handshake::{
    accept_key, asks_for_websocket, handshake_refusal, Handshake, Upgrade,
};
use crate::websocket_link::Link;
use crate::{Exchange, Limits, RequestHead, Router, TurnEnd, WebSocket};

/// The smallest read buffer that hyper works with.
const MIN_HEAD_BYTES: usize = 8192;

/// A header map panics at 24,576 fields, and hyper allocates room for the allowed number with every request.
const MAX_HEADERS: usize = 16_384;

/// What every connection of a server shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) router: Arc<Router>,
    pub(crate) turn: TurnEnd,
}

/// Serves one connection until it ends, for whatever reason.
pub(crate) async fn serve(stream: Stream, shared: Arc<Shared>, activity: Arc<Activity>) {
    let Some((peer, local)) = stream.addresses() else {
        return;
    };
    stream.set_nodelay();
    let limits = &shared.limits;
    let max_head_bytes = limits.max_head_bytes.max(MIN_HEAD_BYTES);
    let client = peer.clone();
    let service = ConnectionService {
        shared: shared.clone(),
        activity: activity.clone(),
        believed: limits.trusted_proxies.believe(&peer),
        peer,
        local,
    };
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(limits.max_headers.min(MAX_HEADERS))
        .max_header_size(max_head_bytes)
        .max_buf_size(max_head_bytes)
        .serve_connection(
            TokioIo::new(Watched {
                stream,
                activity: activity.clone(),
                framing: Framing::default(),
                closing: false,
                ended: false,
            }),
            service,
        )
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut draining = false;
    let ended = poll_fn(|cx| {
        activity.register(cx.waker());
        match activity.ending() {
            Ending::Kill => return Poll::Ready(Ok(())),
            Ending::Drain | Ending::BodyTimeout if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            _ => {}
        }
        connection.as_mut().poll(cx)
    })
    .await;
    // How else a connection ended is the client's business: resets and half requests are no news to a server.
    if let Err(error) = ended {
        if error.is_parse() {
            tell!(shared.turn, INFO, %client, reason = %error, "request refused");
        }
    }
    if let Some(upgrade) = activity.take_upgrade() {
        serve_upgraded(upgrade, &shared.limits, &activity).await;
    }
}

/// Serves a connection that hyper is done with, whose last request asked for a websocket.
async fn serve_upgraded(mut upgrade: Upgrade, limits: &Limits, activity: &Arc<Activity>) {
    let Some(Ok(parts)) = upgrade
        .connection()
        .map(|upgraded| upgraded.downcast::<TokioIo<Watched>>())
    else {
        return;
    };
    let mut stream = parts.io.into_inner();
    if !upgrade.socket().was_accepted() {
        // A client that has sent messages already would lose the answer to a reset.
        activity.set_unread(true);
        until_killed(activity, |cx| {
            Pin::new(&mut stream).poll_shutdown(cx).map(|_| ())
        })
        .await;
        return;
    }
    let socket = upgrade.socket().clone();
    let mut link = Link::new(stream, &parts.read_buf, socket, activity.clone(), limits);
    until_killed(activity, |cx| link.poll(cx)).await;
}

/// Polls as long as the connection may live.
async fn until_killed(activity: &Activity, mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    poll_fn(|cx| {
        activity.register(cx.waker());
        if activity.ending() == Ending::Kill {
            return Poll::Ready(());
        }
        poll(cx)
    })
    .await;
}

struct ConnectionService {
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    peer: Address,
    local: Address,
    /// Whether the peer is a proxy that is trusted.
    believed: bool,
}

impl ConnectionService {
    fn refuse(&self, parts: &Parts, status: StatusCode) -> Respond {
        let (method, path, client) = (parts.method.as_str(), parts.uri.path(), &self.peer);
        let number = u64::from(status.as_u16());
        tell!(self.shared.turn, INFO, method, path, status = number, %client, "request refused");
        Respond::Ready(Some(refusal(status, self.activity.clone())))
    }
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Respond;

    fn call(&self, request: Request<Incoming>) -> Respond {
        self.activity.enter(Phase::Serving);
        let (mut parts, incoming) = request.into_parts();
        self.activity.set_unread(!incoming.is_end_stream());
        if let Some(status) = objection(&parts) {
            return self.refuse(&parts, status);
        }
        let mount = match self.shared.router.route(&parts.method, parts.uri.path()) {
            Routed::Constant(route) => {
                let mut response = known(route.body.clone(), self.activity.clone());
                *response.status_mut() = route.status;
                *response.headers_mut() = route.headers.clone();
                if is_access_logged() {
                    let status = route.status.as_u16();
                    log_access(
                        &parts.method,
                        &parts.uri,
                        status,
                        Duration::ZERO,
                        &self.peer,
                    );
                    self.shared.turn.request();
                }
                return Respond::Ready(Some(response));
            }
            Routed::NotFound => return self.refuse(&parts, StatusCode::NOT_FOUND),
            Routed::Mount(mount) => mount,
        };
        let limits = &self.shared.limits;
        let announced = parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limits.max_body_bytes) {
            return self.refuse(&parts, StatusCode::PAYLOAD_TOO_LARGE);
        }
        let opening = if asks_for_websocket(&parts) {
            let upgrade = parts.extensions.remove::<OnUpgrade>();
            match accept_key(&parts, !incoming.is_end_stream()) {
                Ok(key) => upgrade.map(|upgrade| (upgrade, key)),
                Err(status) => {
                    let refusal = handshake_refusal(status, self.activity.clone());
                    return Respond::Ready(Some(refusal));
                }
            }
        } else {
            None
        };
        let asks_first = parts.headers.contains_key(EXPECT);
        let (peer, secure) = if self.believed {
            origin(&parts.headers, &self.peer, &limits.trusted_proxies)
        } else {
            (self.peer.clone(), false)
        };
        let head = RequestHead {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            peer,
            secure,
            local: self.local.clone(),
            mount,
        };
        let exchange = Exchange::new(head, self.shared.turn.clone(), limits.write_buffer_bytes);
        if let Some((upgrade, key)) = opening {
            let socket = WebSocket::new(exchange, limits.write_buffer_bytes);
            self.activity
                .keep_upgrade(Upgrade::new(socket.clone(), upgrade));
            return Respond::Handshake(Handshake::new(socket, self.activity.clone(), key));
        }
        let incoming = if incoming.is_end_stream() {
            // An application that asks for the body of a bodyless request gets one empty, last piece.
            exchange.push_body(bytes::Bytes::new(), true);
            None
        } else {
            // A client that waits for "100 Continue" gets it when the application asks for the body.
            if !asks_first {
                exchange.prefetch();
            }
            Some(incoming)
        };
        let pump = Pump::new(
            exchange.clone(),
            self.activity.clone(),
            incoming,
            limits.max_body_bytes,
        );
        Respond::Pump {
            pump: Some(Box::new(pump)),
            call: Some((exchange, self.activity.clone())),
        }
    }
}

/// What HTTP itself has against a request that hyper could parse.
fn objection(parts: &Parts) -> Option<StatusCode> {
    // CONNECT asks for a tunnel, and a target without a path has no route.
    if parts.method == Method::CONNECT || parts.uri.path().is_empty() {
        return Some(StatusCode::BAD_REQUEST);
    }
    // RFC 9112, 3.2: exactly one host; HTTP/1.0 may go without.
    let mut hosts = parts.headers.get_all(HOST).iter();
    let acceptable = match hosts.next() {
        Some(host) => hosts.next().is_none() && host.as_bytes().iter().all(is_host_byte),
        None => parts.version == Version::HTTP_10,
    };
    if !acceptable {
        return Some(StatusCode::BAD_REQUEST);
    }
    // RFC 9112, 6.1: a coding that is not understood. Passing it on undecoded would change what the body means.
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let only_chunked = codings.next().is_none_or(|coding| {
        coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none()
    });
    (!only_chunked).then_some(StatusCode::NOT_IMPLEMENTED)
}

/// `uri-host [ ":" port ]`, by its alphabet.
fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte)
}

/// The future of one response.
enum Respond {
    Ready(Option<Response<ResponseBody>>),
    Pump {
        pump: Option<Box<Pump>>,
        /// The application is called from a poll, when the connection can already be woken, and once the request
        /// before is done: one connection's requests are served one after the other.
        call: Option<(Arc<Exchange>, Arc<Activity>)>,
    },
    Handshake(Box<Handshake>),
}

impl Future for Respond {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => Poll::Ready(Ok(response
                .take()
                .expect("hyper polls a finished future no more"))),
            Self::Handshake(handshake) => handshake.poll_response(cx),
            Self::Pump { pump, call } => {
                if let Some((exchange, activity)) = call.take() {
                    if activity.poll_alone(cx).is_pending() {
                        *call = Some((exchange, activity));
                        return Poll::Pending;
                    }
                    exchange.park_connection(cx.waker());
                    exchange.head().mount.app.call(exchange.clone());
                }
                match pump
                    .take()
                    .expect("hyper polls a finished future no more")
                    .poll_head(cx)
                {
                    Ok(response) => Poll::Ready(Ok(response)),
                    Err(waiting) => {
                        *pump = Some(waiting);
                        Poll::Pending
                    }
                }
            }
        }
    }
}

/// The socket, with an eye on progress.
struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
    framing: Framing,
    /// The write side is shut down.
    closing: bool,
    /// The client has shut down its own.
    ended: bool,
}

impl Watched {
    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        self.activity.wrote(result.is_ready());
        result
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ended {
            let before = buffer.filled().len();
            let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
            let came = buffer.filled().len() > before;
            self.framing.look(&mut buffer.filled_mut()[before..]);
            if came && self.activity.phase() == Phase::Idle {
                self.activity.enter(Phase::Head);
            } else if !came {
                self.activity.client_left();
                self.ended = result.is_ok();
            }
            if !self.ended {
                return Poll::Ready(result);
            }
        }
        // A client may send no more and still wait for its answer. To hyper that would be the end of the connection.
        if self.activity.owes_answer() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closing a socket with unread bytes resets the connection, and the reset can overtake the answer: a client that
    /// still sends is listened to until it notices.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.activity.has_unread() {
                return Poll::Ready(Ok(()));
            }
            self.closing = true;
            self.activity.enter(Phase::Closing);
        }
        let mut thrown_away = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(result)
    }
}
