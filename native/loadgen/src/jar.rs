//! The cookies of one user: what servers set, and what goes back to them (RFC 6265, for a single host).
//!
//! Domains are not looked at, for there is one server; `Secure` is not either, as browsers treat this machine.

use std::time::SystemTime;

use cookie::{Cookie, Expiration};

/// More than any browser keeps of a site.
const MOST_COOKIES: usize = 200;

/// The cookies of one user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    /// In the order in which they came.
    cookies: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    name: String,
    value: String,
    path: String,
    /// None: as long as the user.
    expires: Option<SystemTime>,
}

impl Jar {
    /// Takes a Set-Cookie header, in the answer to a request of this path. What is no cookie is passed over, as browsers do.
    pub(crate) fn store(&mut self, header: &[u8], request_path: &[u8]) {
        let Some(cookie) = std::str::from_utf8(header)
            .ok()
            .and_then(|text| Cookie::parse(text).ok())
        else {
            return;
        };
        let path = match cookie.path() {
            Some(path) if path.starts_with('/') => path.to_owned(),
            _ => folder_of(request_path),
        };
        let now = SystemTime::now();
        let kept = Kept {
            name: cookie.name().to_owned(),
            value: cookie.value().to_owned(),
            path,
            expires: expiry(&cookie, now),
        };
        let is_over = kept.expires.is_some_and(|when| when <= now);
        let same = |one: &Kept| one.name == kept.name && one.path == kept.path;
        match self.cookies.iter().position(same) {
            Some(place) if is_over => drop(self.cookies.remove(place)),
            Some(place) => self.cookies[place] = kept,
            None if is_over => {}
            None => {
                if self.cookies.len() == MOST_COOKIES {
                    self.cookies.remove(0);
                }
                self.cookies.push(kept);
            }
        }
    }

    /// Writes the cookies for a request of this path; nothing when none belongs to it.
    pub(crate) fn write(&self, request_path: &[u8], out: &mut Vec<u8>) {
        let is_sent = |kept: &&Kept| {
            is_below(request_path, kept.path.as_bytes())
                && kept.expires.is_none_or(|when| when > SystemTime::now())
        };
        let mut sent: Vec<&Kept> = self.cookies.iter().filter(is_sent).collect();
        // Longer paths come first; of the same length the older ones.
        sent.sort_by_key(|kept| usize::MAX - kept.path.len());
        for (place, kept) in sent.into_iter().enumerate() {
            if place > 0 {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(kept.name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(kept.value.as_bytes());
        }
    }
}

/// When a cookie is over. None: it does not say.
fn expiry(cookie: &Cookie<'_>, now: SystemTime) -> Option<SystemTime> {
    match (cookie.max_age(), cookie.expires()) {
        (Some(age), _) if !age.is_positive() => Some(now),
        // Beyond what the clock can hold is never.
        (Some(age), _) => now.checked_add(age.unsigned_abs()),
        (None, Some(Expiration::DateTime(when))) => Some(when.into()),
        _ => None,
    }
}

/// The default path of RFC 6265, 5.1.4.
fn folder_of(path: &[u8]) -> String {
    let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    match end {
        0 => "/".to_owned(),
        end => String::from_utf8_lossy(&path[..end]).into_owned(),
    }
}

/// The path match of RFC 6265, 5.1.4.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.starts_with(folder)
        && (path.len() == folder.len()
            || folder.ends_with(b"/")
            || path.get(folder.len()) == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(jar: &Jar, path: &str) -> String {
        let mut out = Vec::new();
        jar.write(path.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn jar(headers: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for header in headers {
            jar.store(header.as_bytes(), b"/account/login");
        }
        jar
    }

    #[test]
    fn what_was_set_goes_back_and_newer_values_win() {
        let jar = jar(&[
            "a=1; Path=/; HttpOnly; Secure",
            "b=x y; path=/",
            "a=2; Path=/; SameSite=Lax",
        ]);
        assert_eq!(sent(&jar, "/"), "a=2; b=x y");
        assert_eq!(sent(&Jar::default(), "/"), "");
    }

    #[test]
    fn a_cookie_belongs_to_its_path() {
        let jar = jar(&["here=1", "shop=1; Path=/shop"]);
        assert_eq!(sent(&jar, "/account"), "here=1");
        assert_eq!(sent(&jar, "/account/orders"), "here=1");
        assert_eq!(sent(&jar, "/shop/cart"), "shop=1");
        assert_eq!(sent(&jar, "/shopping"), "");
    }

    #[test]
    fn a_cookie_that_is_over_is_forgotten() {
        for over in [
            "a=; Max-Age=0; Path=/",
            "a=; Max-Age=-5; Path=/",
            "a=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
        ] {
            let jar = jar(&["a=1; Path=/", over]);
            assert_eq!(sent(&jar, "/"), "", "{over}");
        }
        let jar = jar(&["a=1; Path=/; expires=Thu, 01 Jan 2099 00:00:00 GMT"]);
        assert_eq!(sent(&jar, "/"), "a=1");
    }

    #[test]
    fn what_is_no_cookie_is_passed_over_and_memory_is_bounded() {
        let mut jar = jar(&["", "=x", "novalue"]);
        assert_eq!(sent(&jar, "/account"), "");
        for number in 0..1_000 {
            jar.store(format!("n{number}=1; Path=/").as_bytes(), b"/");
        }
        assert_eq!(jar.cookies.len(), MOST_COOKIES);
        assert!(sent(&jar, "/").ends_with("n999=1"));
    }
}
