//! What each user of a run holds (values, cookies), and the look that is taken at answers for it.
//!
//! Requests are fixed bytes and answers are judged by their status alone wherever the plan asks for no more; then
//! none of this costs anything but a branch.

use crate::check::{examine, wanted_headers, Check, Seen};
use crate::driver::Fault;
use crate::jar::Jar;
use crate::outcome::Outcome;
use crate::request::{Content, Request};
use crate::response::Answer;
use crate::scenario::FeedValue;
use crate::template::Value;

/// The longest body that is checked or captured from.
const MOST_BODY_BYTES: usize = 16 << 20;

/// What a user's body may hold on to between answers.
const MOST_SPARE_BYTES: usize = 1 << 20;

/// The users of a run, one for each connection.
pub(crate) struct Users<'p> {
    requests: &'p [Request],
    /// Whether anything but fixed bytes and statuses is asked for.
    is_needed: bool,
    cookies: bool,
    /// A user who holds nothing yet.
    blank: User,
    users: Vec<User>,
    /// How often each request was sent.
    sent: Vec<u64>,
    scratch: Vec<u8>,
    /// A request before its cookies are added.
    whole: Vec<u8>,
}

#[derive(Clone, Default)]
struct User {
    values: Vec<Value>,
    jar: Jar,
    /// The path of the request in flight, where cookies are kept.
    path: Vec<u8>,
    request: usize,
    /// The answer is held against the request's checks.
    is_checked: bool,
    keeps_body: bool,
    is_too_long: bool,
    body: Vec<u8>,
    headers: Vec<Option<Vec<u8>>>,
}

impl<'p> Users<'p> {
    pub(crate) fn new(requests: &'p [Request], slots: usize, cookies: bool) -> Self {
        let is_plain = |request: &Request| {
            matches!(request.content, Content::Fixed(_))
                && request.checks.is_empty()
                && request.captures.is_empty()
        };
        let is_needed = cookies || !requests.iter().all(is_plain);
        Self {
            requests,
            is_needed,
            cookies,
            blank: User {
                values: vec![Value::default(); slots],
                ..User::default()
            },
            users: Vec::new(),
            sent: vec![0; requests.len()],
            scratch: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// Makes it this many.
    pub(crate) fn resize(&mut self, connections: usize) {
        if self.is_needed {
            self.users.resize(connections, self.blank.clone());
        }
    }

    /// The user's slot becomes this value.
    pub(crate) fn set(&mut self, connection: usize, slot: usize, value: FeedValue<'_>) {
        if let Some(user) = self.users.get_mut(connection) {
            match value {
                FeedValue::Text(text) => user.values[slot].set(text, false),
                FeedValue::Json(json) => user.values[slot].set(json, true),
            }
        }
    }

    /// The user sends this request, or sends it once more. Whether its bytes are now in `out`; else they are its fixed
    /// ones.
    pub(crate) fn render(
        &mut self,
        connection: usize,
        request: usize,
        is_retry: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.is_needed {
            return false;
        }
        let user = &mut self.users[connection];
        let plan = &self.requests[request];
        if !is_retry {
            let sent = self.sent[request];
            self.sent[request] += 1;
            user.is_checked = sent.is_multiple_of(plan.look_every.max(1).into());
        }
        user.request = request;
        user.keeps_body = plan.captures.iter().any(|capture| capture.reads_body())
            || user.checks(plan).iter().any(|check| check.reads_body());
        user.is_too_long = false;
        match user.body.capacity() > MOST_SPARE_BYTES {
            true => user.body = Vec::new(),
            false => user.body.clear(),
        }
        user.headers.clear();
        let whole = match &plan.content {
            Content::Fixed(bytes) => bytes,
            Content::Template(template) if self.cookies => {
                template.render(&user.values, &mut self.whole, &mut self.scratch);
                &self.whole
            }
            Content::Template(template) => {
                template.render(&user.values, out, &mut self.scratch);
                return true;
            }
        };
        if !self.cookies {
            return false;
        }
        user.note_path(whole);
        self.scratch.clear();
        user.jar.write(&user.path, &mut self.scratch);
        add_cookies(whole, &self.scratch, out);
        true
    }

    /// Whether heads are looked at.
    pub(crate) fn want_heads(&self) -> bool {
        self.is_needed
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self, connection: usize, headers: &[httparse::Header<'_>]) {
        if !self.is_needed {
            return;
        }
        let user = &mut self.users[connection];
        let request = &self.requests[user.request];
        let checks = user.checks(request);
        for name in wanted_headers(checks, &request.captures) {
            let found = headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            user.headers.push(found.map(|header| header.value.to_vec()));
        }
        if self.cookies {
            for header in headers {
                if header.name.eq_ignore_ascii_case("set-cookie") {
                    user.jar.store(header.value, &user.path);
                }
            }
        }
    }

    /// A piece of a decoded body.
    pub(crate) fn body(&mut self, connection: usize, bytes: &[u8]) {
        if !self.is_needed {
            return;
        }
        let user = &mut self.users[connection];
        if !user.keeps_body || user.is_too_long {
            return;
        }
        user.is_too_long = user.body.len() + bytes.len() > MOST_BODY_BYTES;
        if !user.is_too_long {
            user.body.extend_from_slice(bytes);
        }
    }

    /// Judges a whole answer, and keeps what is to be captured of a good one.
    pub(crate) fn judge(
        &mut self,
        connection: usize,
        request: &Request,
        answer: &Answer,
    ) -> (Outcome, Fault) {
        if !request.expect.accepts(answer.status) {
            return (Outcome::UnexpectedStatus, Fault::None);
        }
        if !self.is_needed {
            return (Outcome::Ok, Fault::None);
        }
        let user = &mut self.users[connection];
        if user.is_too_long {
            let words = format!(
                "the body has no more than {MOST_BODY_BYTES} bytes, as many as are looked at"
            );
            return (Outcome::CheckFailed, Fault::Check(words));
        }
        let seen = Seen {
            body: &user.body,
            body_bytes: answer.body_bytes,
            headers: &user.headers,
        };
        let checks = user.checks(request);
        match examine(checks, &request.captures, &seen, &mut user.values) {
            Ok(()) => (Outcome::Ok, Fault::None),
            Err(words) => (Outcome::CheckFailed, Fault::Check(words)),
        }
    }
}

impl User {
    /// Those of the request that its answer is held against.
    fn checks<'c>(&self, request: &'c Request) -> &'c [Check] {
        match self.is_checked {
            true => &request.checks,
            false => &[],
        }
    }

    /// Keeps the path of a request, without its query.
    fn note_path(&mut self, request: &[u8]) {
        let target = request.split(|&byte| byte == b' ').nth(1).unwrap_or(b"/");
        let path = target.split(|&byte| byte == b'?').next().unwrap_or(b"/");
        self.path.clear();
        self.path.extend_from_slice(path);
    }
}

/// Writes a request to `out` with cookies in its head: behind those that it has, in the same field, or in a field of
/// their own.
fn add_cookies(request: &[u8], cookies: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let end = memchr::memmem::find(request, b"\r\n\r\n").filter(|_| !cookies.is_empty());
    let Some(end) = end else {
        out.extend_from_slice(request);
        return;
    };
    let mut at = 0;
    let own = request[..end]
        .split_inclusive(|&byte| byte == b'\n')
        .find_map(|line| {
            at += line.len();
            let is_cookie = line.len() > 7 && line[..7].eq_ignore_ascii_case(b"cookie:");
            is_cookie.then_some(at - if line.ends_with(b"\r\n") { 2 } else { 0 })
        });
    let (before, separator, after): (usize, &[u8], &[u8]) = match own {
        Some(at) => (at, b"; ", b""),
        None => (end + 2, b"cookie: ", b"\r\n"),
    };
    let (head, rest) = request.split_at(before);
    for part in [head, separator, cookies, after, rest] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /shop/cart?x=1 HTTP/1.1\r\nhost: test\r\n\r\n";

    fn answer(status: u16, body_bytes: u64) -> Answer {
        Answer {
            status,
            body_bytes,
            closes: false,
        }
    }

    fn users(requests: &[Request], connections: usize, cookies: bool) -> Users<'_> {
        let mut users = Users::new(requests, 0, cookies);
        users.resize(connections);
        users
    }

    #[test]
    fn plain_requests_are_sent_as_they_are_and_judged_by_their_status() {
        let requests = [Request::new("one", GET)];
        let mut users = users(&requests, 1, false);
        let mut out = Vec::new();
        assert!(!users.render(0, 0, false, &mut out));
        users.head(0, &[]);
        users.body(0, b"anything");
        let judged = users.judge(0, &requests[0], &answer(200, 8));
        assert_eq!(judged, (Outcome::Ok, Fault::None));
        let judged = users.judge(0, &requests[0], &answer(500, 8));
        assert_eq!(judged.0, Outcome::UnexpectedStatus);
    }

    #[test]
    fn cookies_belong_to_their_user() {
        let requests = [Request::new("one", GET)];
        let mut users = users(&requests, 2, true);
        let mut out = Vec::new();
        users.render(1, 0, false, &mut out);
        assert_eq!(out, GET);
        users.head(
            1,
            &[httparse::Header {
                name: "Set-Cookie",
                value: b"id=7; Path=/shop",
            }],
        );
        assert!(users.render(1, 0, false, &mut out));
        assert_eq!(
            out.escape_ascii().to_string(),
            "GET /shop/cart?x=1 HTTP/1.1\\r\\nhost: test\\r\\ncookie: id=7\\r\\n\\r\\n"
        );
        users.render(0, 0, false, &mut out);
        assert_eq!(out, GET);
    }

    #[test]
    fn cookies_join_those_that_the_request_brings() {
        let mut out = Vec::new();
        for (request, expected) in [
            (
                &b"GET / HTTP/1.1\r\nCookie: a=1\r\n\r\n"[..],
                &b"GET / HTTP/1.1\r\nCookie: a=1; b=2\r\n\r\n"[..],
            ),
            (
                b"GET / HTTP/1.1\r\nCOOKIE: a=1\r\nx: y\r\n\r\nCookie: no\r\n",
                b"GET / HTTP/1.1\r\nCOOKIE: a=1; b=2\r\nx: y\r\n\r\nCookie: no\r\n",
            ),
            (
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\ncookie: b=2\r\n\r\n",
            ),
        ] {
            add_cookies(request, b"b=2", &mut out);
            assert_eq!(out, expected, "{}", out.escape_ascii());
        }
    }

    #[test]
    fn every_so_manieth_answer_is_checked() {
        let mut request = Request::new("one", GET).checking(Check::Contains(b"x".to_vec()));
        request.look_every = 3;
        let requests = [request];
        let mut users = users(&requests, 1, false);
        let outcomes: Vec<Outcome> = (0..6)
            .map(|_| {
                users.render(0, 0, false, &mut Vec::new());
                users.body(0, b"y");
                users.judge(0, &requests[0], &answer(200, 1)).0
            })
            .collect();
        use Outcome::{CheckFailed, Ok};
        assert_eq!(outcomes, [CheckFailed, Ok, Ok, CheckFailed, Ok, Ok]);
    }

    #[test]
    fn a_body_that_is_too_long_fails_its_check_and_is_not_kept() {
        let requests = [Request::new("one", GET).checking(Check::Contains(b"x".to_vec()))];
        let mut users = users(&requests, 1, false);
        users.render(0, 0, false, &mut Vec::new());
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            users.body(0, &megabyte);
        }
        assert!(users.users[0].body.len() <= MOST_BODY_BYTES);
        let (outcome, _) = users.judge(0, &requests[0], &answer(200, 20 << 20));
        assert_eq!(outcome, Outcome::CheckFailed);
    }
}
