//! What proxies in front say of a request's client, in `X-Forwarded-For` and `X-Forwarded-Proto`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};

use crate::Address;

// Names that need not be parsed for every request.
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies that are believed: single addresses, networks, or everybody.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    everybody: bool,
    networks: Vec<Network>,
}

/// `ADDRESS` or `ADDRESS/LENGTH`, as IPv6 addresses, of which IPv4 ones are a part.
#[derive(Debug, Clone, Copy)]
struct Network {
    address: u128,
    mask: u128,
}

impl TrustedProxies {
    /// Reads `*`, addresses and networks. Gives back the first name that is none of them.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut trusted = Self::default();
        for name in names {
            if name == "*" {
                trusted.everybody = true;
            } else {
                trusted.networks.push(name.parse().map_err(|()| name)?);
            }
        }
        Ok(trusted)
    }

    /// Whether what this peer says of its client is believed. A Unix socket's peer is one of everybody.
    pub(crate) fn believe(&self, peer: &Address) -> bool {
        self.everybody || peer.tcp().is_some_and(|peer| self.contain(peer.ip()))
    }

    fn contain(&self, address: IpAddr) -> bool {
        let address = bits(address);
        let mut networks = self.networks.iter();
        self.everybody || networks.any(|one| (one.address ^ address) & one.mask == 0)
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| ())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let width = if address.is_ipv4() { 32_u32 } else { 128 };
        let free = width.checked_sub(length.unwrap_or(width)).ok_or(())?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Ok(Self {
            address: bits(address),
            mask,
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The client of a request that a believed `peer` has passed on, and whether it spoke TLS.
///
/// Of the addresses in `X-Forwarded-For` it is the last that is no trusted proxy itself, and the first where all are. What
/// is no address ends the search: everything before it is hearsay.
pub(crate) fn origin(
    headers: &HeaderMap,
    peer: &Address,
    trusted: &TrustedProxies,
) -> (Address, bool) {
    let scheme = headers.get_all(&FORWARDED_PROTO).iter().next_back();
    let secure =
        scheme.is_some_and(|scheme| matches!(scheme.as_bytes().trim_ascii(), b"https" | b"wss"));
    let values = headers.get_all(&FORWARDED_FOR).iter().rev();
    let mut client = peer.clone();
    for name in values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(',')) {
        let Some(address) = address(name.trim()) else {
            break;
        };
        client = Address::Tcp(address);
        if !trusted.contain(address.ip()) {
            break;
        }
    }
    (client, secure)
}

/// An address, with or without a port; port 0 says that it is not known.
fn address(text: &str) -> Option<SocketAddr> {
    let alone = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner
            .parse::<Ipv6Addr>()
            .ok()
            .map(|ip| SocketAddr::new(ip.into(), 0))
    };
    alone(text).or_else(|| text.parse().ok()).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn trusted(names: &[&'static str]) -> TrustedProxies {
        TrustedProxies::parse(names.iter().copied()).expect("addresses")
    }

    fn client(names: &[&'static str], forwarded: &[&'static str]) -> String {
        let peer = Address::Tcp("10.0.0.1:5000".parse().expect("an address"));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        origin(&headers, &peer, &trusted(names)).0.to_string()
    }

    #[test]
    fn the_client_is_the_last_who_is_no_proxy() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"];
        for (forwarded, expected) in [
            (&[][..], "10.0.0.1:5000"),
            (&["1.2.3.4"], "1.2.3.4:0"),
            (&["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4:0"),
            (&["6.6.6.6", "1.2.3.4", "10.9.9.9, 10.8.8.8"], "1.2.3.4:0"),
            (&["10.9.9.9, 10.8.8.8"], "10.9.9.9:0"),
            (&["1.2.3.4:77"], "1.2.3.4:77"),
            (&["[2002::1]"], "[2002::1]:0"),
            (&["2002::1, 2001:db8:1::1"], "[2002::1]:0"),
            (&["[2002::1]:80"], "[2002::1]:80"),
            (&["1.2.3.4, unknown"], "10.0.0.1:5000"),
            (&["1.2.3.4, unknown, 10.7.7.7"], "10.7.7.7:0"),
            (&[""], "10.0.0.1:5000"),
        ] {
            assert_eq!(client(&proxies, forwarded), expected, "{forwarded:?}");
        }
        assert_eq!(client(&["*"], &["6.6.6.6, 1.2.3.4"]), "6.6.6.6:0");
    }

    #[test]
    fn networks_and_addresses_are_told_apart() {
        let peer = |text: &str| Address::Tcp(text.parse().expect("an address"));
        for (name, inside, outside) in [
            ("127.0.0.1", "127.0.0.1:1", "127.0.0.2:1"),
            ("10.0.0.0/8", "10.255.0.1:1", "11.0.0.1:1"),
            ("0.0.0.0/0", "9.9.9.9:1", "[::1]:1"),
            ("::1", "[::1]:1", "127.0.0.1:1"),
            ("2001:db8::/32", "[2001:db8:9::1]:1", "[2001:db9::1]:1"),
            ("10.0.0.0/8", "[::ffff:10.1.1.1]:1", "[::ffff:11.1.1.1]:1"),
        ] {
            assert!(trusted(&[name]).believe(&peer(inside)), "{name} {inside}");
            assert!(
                !trusted(&[name]).believe(&peer(outside)),
                "{name} {outside}"
            );
        }
        let unix = Address::Unix(String::new());
        assert!(trusted(&["*"]).believe(&unix));
        assert!(!trusted(&["127.0.0.1", "::/0"]).believe(&unix));
        for name in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "10.0.0.0/-1",
        ] {
            assert_eq!(TrustedProxies::parse([name]).map(|_| ()), Err(name));
        }
    }
}
