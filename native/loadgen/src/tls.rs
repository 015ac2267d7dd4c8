//! TLS for the send loop: rustls over a non-blocking TCP connection, HTTP/1.1 inside.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_name, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
};

use crate::error::LoadError;

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Whom this machine trusts.
    System,
    /// The certificates of a PEM file, what they signed, and nobody else.
    Pem(Vec<u8>),
    /// Anybody: the connection is encrypted and the server may be anyone.
    Unverified,
}

/// How connections to one server are encrypted. Sessions are resumed where the server lets them.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// For a server that must prove to be `name`, a DNS name or an IP address.
    pub fn new(name: &str, roots: &Roots) -> Result<Self, LoadError> {
        let refused = |reason: String| LoadError::Tls(reason);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?;
        let listed = match roots {
            Roots::Pem(pem) => Some(Listed::new(pem, provider.clone())?),
            Roots::System | Roots::Unverified => None,
        };
        let mut config = match roots {
            Roots::System => config
                .with_root_certificates(system_roots()?)
                .with_no_client_auth(),
            Roots::Pem(_) | Roots::Unverified => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Belief { provider, listed }))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| refused(format!("{name:?} is no name that a certificate can hold")))?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

fn system_roots() -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err(LoadError::Tls(
            "this machine has no trusted root certificates".to_owned(),
        )),
        false => Ok(roots),
    }
}

/// Whom a handshake believes; that the owner of a certificate holds its key is proven in any case.
#[derive(Debug)]
struct Belief {
    provider: Arc<CryptoProvider>,
    /// None: anybody.
    listed: Option<Listed>,
}

/// The certificates of a list, and who believes what they signed.
#[derive(Debug)]
struct Listed {
    certificates: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

impl Listed {
    fn new(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, LoadError> {
        let refused = |reason: String| LoadError::Tls(reason);
        let not_pem =
            |reason: String| refused(format!("the trusted certificates are not PEM: {reason}"));
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| not_pem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(refused(
                "there is no certificate in the trusted ones".to_owned(),
            ));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| not_pem(error.to_string()))?;
        }
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            certificates,
            signed,
        })
    }
}

impl ServerCertVerifier for Belief {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(listed) = &self.listed else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = listed.signed.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // A development server's certificate is often an authority's that signed itself, which is no server's by
            // the rules. That it has not expired was looked at before.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if listed.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// An error that ended a handshake, as one of TLS.
pub(crate) fn tls_error(error: io::Error) -> io::Error {
    match is_tls_error(&error) {
        true => error,
        false => io::Error::new(error.kind(), rustls::Error::General(error.to_string())),
    }
}

/// Whether TLS itself failed, and not the socket below it.
pub(crate) fn is_tls_error(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

/// One encrypted connection.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: ClientConnection,
    /// The server has closed its side of the socket.
    ended: bool,
    /// What the next read tells: this one gave what came before.
    next: Next,
}

/// What follows the bytes that were read.
enum Next {
    /// Whatever the socket has.
    More,
    /// The server has closed the session.
    End,
    Failure(io::Error),
}

impl TlsStream {
    pub(crate) fn new(tcp: TcpStream, tls: &Tls) -> io::Result<Self> {
        let session = ClientConnection::new(tls.config.clone(), tls.name.clone())
            .map_err(io::Error::other)?;
        Ok(Self {
            tcp,
            session,
            ended: false,
            next: Next::More,
        })
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Whether a read that did not fill its buffer is followed by something that no event announces.
    pub(crate) fn has_next(&self) -> bool {
        !matches!(self.next, Next::More)
    }

    pub(crate) fn is_flushed(&self) -> bool {
        !self.session.wants_write()
    }

    /// Goes on with the handshake as far as the socket lets it, and says whether it is over. Whatever ends it is an
    /// error of TLS: the socket below had been connected.
    pub(crate) fn shake_hands(&mut self) -> io::Result<bool> {
        self.exchange_records().map_err(tls_error)
    }

    fn exchange_records(&mut self) -> io::Result<bool> {
        loop {
            self.send_records()?;
            if !self.session.is_handshaking() {
                return Ok(true);
            }
            if !self.take_records()? {
                return match self.ended {
                    true => Err(io::Error::other("closed by the server in the handshake")),
                    false => Ok(false),
                };
            }
        }
    }

    /// Writes what the session wants to send, until the socket takes no more.
    fn send_records(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads and decrypts what the socket has now; false when it has nothing, or has ended.
    fn take_records(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        loop {
            match self.session.read_tls(&mut self.tcp) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let Err(error) = self.session.process_new_packets() {
            // The alert that tells the server why; whether it arrives does not matter any more.
            let _ = self.send_records();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        self.send_records()?;
        Ok(true)
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match std::mem::replace(&mut self.next, Next::More) {
            Next::More => {}
            Next::End => return Ok(0),
            Next::Failure(error) => return Err(error),
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let next = match self.session.reader().read(&mut buffer[filled..]) {
                // The server has closed the session.
                Ok(0) => Next::End,
                Ok(read) => {
                    filled += read;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.take_records() {
                        Ok(true) => continue,
                        Ok(false) if self.ended => Next::End,
                        Ok(false) if filled > 0 => return Ok(filled),
                        Ok(false) => return Err(io::ErrorKind::WouldBlock.into()),
                        Err(error) => Next::Failure(error),
                    }
                }
                // The socket has ended and the session was not closed: HTTP's own framing is the judge.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Next::End,
                Err(error) => Next::Failure(error),
            };
            match next {
                Next::End if filled == 0 => return Ok(0),
                Next::Failure(error) if filled == 0 => return Err(error),
                next => self.next = next,
            }
            return Ok(filled);
        }
        Ok(filled)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.session.writer().write(bytes)?;
        self.send_records()?;
        match written {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_records()
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsStream").field(&self.tcp).finish()
    }
}
