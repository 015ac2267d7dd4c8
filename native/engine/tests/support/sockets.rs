//! Applications that talk over websockets.

use std::future::{poll_fn, Future};
use std::sync::mpsc::Sender;
use std::sync::Arc;

use fastr_engine::{App, Exchange, Limits, Message, SocketEvent, WebSocket};

use super::{news, respond, Client, News, Served};

/// Calls this for every websocket, and answers ordinary requests.
pub(crate) struct Sockets<F>(pub(crate) F);

impl<F: Fn(Arc<WebSocket>) + Send + Sync + 'static> App for Sockets<F> {
    fn call(&self, exchange: Arc<Exchange>) {
        respond(&exchange, 200, b"plain");
    }

    fn websocket(&self, socket: Arc<WebSocket>) {
        (self.0)(socket);
    }
}

/// An application that talks from a task on the reactor, and finishes however the task ends.
pub(crate) fn talking<F, T>(talk: F) -> Arc<dyn App>
where
    F: Fn(Arc<WebSocket>) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    Arc::new(Sockets(move |socket: Arc<WebSocket>| {
        let talk = talk(socket.clone());
        tokio::spawn(async move {
            talk.await;
            socket.finish(false);
        });
    }))
}

pub(crate) async fn event(socket: &WebSocket) -> SocketEvent {
    poll_fn(|cx| socket.poll_receive(cx)).await
}

pub(crate) async fn room(socket: &WebSocket) {
    poll_fn(|cx| socket.poll_room(cx)).await;
}

pub(crate) fn accept(socket: &WebSocket) {
    socket.accept(None, std::iter::empty()).unwrap();
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.into())
}

pub(crate) fn gone(code: u16, reason: &str) -> SocketEvent {
    SocketEvent::Disconnect {
        code,
        reason: reason.to_owned(),
    }
}

pub(crate) async fn echo_until_gone(socket: Arc<WebSocket>, tell: Sender<SocketEvent>) {
    assert_eq!(event(&socket).await, SocketEvent::Connect);
    // A client that has left already is the next event.
    let _ = socket.accept(None, std::iter::empty());
    loop {
        match event(&socket).await {
            SocketEvent::Message(message) => {
                let _ = socket.send(message);
                room(&socket).await;
            }
            last => {
                // Asking again is answered the same.
                assert_eq!(event(&socket).await, last);
                // Not every test listens.
                let _ = tell.send(last);
                return;
            }
        }
    }
}

/// Accepts, echoes, and tells how it ended.
pub(crate) fn echoing(change: impl FnOnce(&mut Limits)) -> (Served, News<SocketEvent>) {
    let (tell, told) = news();
    let mut limits = Limits::default();
    change(&mut limits);
    let app = talking(move |socket| echo_until_gone(socket, tell.clone()));
    (Served::limited(app, limits), told)
}

pub(crate) fn opened(served: &Served) -> Client {
    let mut client = served.client();
    client.open();
    client
}
