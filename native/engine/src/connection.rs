//! One client connection: hyper speaks HTTP, [`Activity`] watches the time.

use std::convert::Infallible;
use std::future::{poll_fn, Future};
use std::io;
use std::net::SocketAddr;
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::activity::{Activity, Ending, Phase};
use crate::body::{known, refusal, Pump, ResponseBody};
use crate::router::Routed;
use crate::{Exchange, Limits, RequestHead, Router, TurnEnd};

/// What every connection of a server shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) router: Arc<Router>,
    pub(crate) turn: TurnEnd,
}

/// Serves one connection until it ends, for whatever reason.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, activity: Arc<Activity>) {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    // Without it a response in two writes waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let limits = &shared.limits;
    let service = ConnectionService { shared: shared.clone(), activity: activity.clone(), peer, local };
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_head_bytes.max(8192))
        .serve_connection(TokioIo::new(Watched { stream, activity: activity.clone() }), service);
    let mut connection = pin!(connection);
    let mut draining = false;
    // How a connection ended is the client's business: resets and half requests are no news to a server.
    poll_fn(|cx| {
        activity.register(cx.waker());
        match activity.ending() {
            Ending::Kill => return Poll::Ready(()),
            Ending::Drain | Ending::BodyTimeout if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            _ => {}
        }
        connection.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

struct ConnectionService {
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Respond;

    fn call(&self, request: Request<Incoming>) -> Respond {
        self.activity.enter(Phase::Serving);
        let (parts, incoming) = request.into_parts();
        // CONNECT asks for a tunnel, and a target without a path has no route.
        if parts.method == Method::CONNECT || parts.uri.path().is_empty() {
            return Respond::refuse(StatusCode::BAD_REQUEST, &self.activity);
        }
        let mount = match self.shared.router.route(&parts.method, parts.uri.path()) {
            Routed::Constant(route) => {
                let mut response = known(route.body.clone(), self.activity.clone());
                *response.status_mut() = route.status;
                *response.headers_mut() = route.headers.clone();
                return Respond::Ready(Some(response));
            }
            Routed::NotFound => return Respond::refuse(StatusCode::NOT_FOUND, &self.activity),
            Routed::Mount(mount) => mount,
        };
        let limits = &self.shared.limits;
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limits.max_body_bytes) {
            return Respond::refuse(StatusCode::PAYLOAD_TOO_LARGE, &self.activity);
        }
        let asks_first = parts.headers.contains_key(EXPECT);
        let head = RequestHead {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            peer: self.peer,
            local: self.local,
            mount,
        };
        let exchange = Exchange::new(head, self.shared.turn.clone(), limits.write_buffer_bytes);
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
        let pump = Pump::new(exchange.clone(), self.activity.clone(), incoming, limits.max_body_bytes);
        Respond::Pump { pump: Some(Box::new(pump)), call: Some(exchange) }
    }
}

/// The future of one response.
enum Respond {
    Ready(Option<Response<ResponseBody>>),
    Pump {
        pump: Option<Box<Pump>>,
        /// The application is called at the first poll, when the connection can already be woken.
        call: Option<Arc<Exchange>>,
    },
}

impl Respond {
    fn refuse(status: StatusCode, activity: &Arc<Activity>) -> Self {
        Self::Ready(Some(refusal(status, activity.clone())))
    }
}

impl Future for Respond {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => Poll::Ready(Ok(response.take().expect("hyper polls a finished future no more"))),
            Self::Pump { pump, call } => {
                if let Some(exchange) = call.take() {
                    exchange.park_connection(cx.waker());
                    exchange.head().mount.app.call(exchange.clone());
                }
                match pump.take().expect("hyper polls a finished future no more").poll_head(cx) {
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
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        self.activity.wrote(result.is_ready());
        result
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.activity.phase() == Phase::Idle {
            self.activity.enter(Phase::Head);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
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
