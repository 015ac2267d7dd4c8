//! An authority that nobody else trusts, the certificates that it gives out, and servers that show them.

#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::unwrap_used)] // only tests call this; clippy knows tests by their attribute alone

use std::net::SocketAddr;
use std::sync::Arc;

use fastr_loadgen::{Address, Roots, Target, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier,
    ALL_VERSIONS,
};

/// An authority of its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, which makes a client trust it.
    pub(crate) pem: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// The certificate and the key of a server of these names.
    pub(crate) fn certify(
        &self,
        params: CertificateParams,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (certificate.der().clone(), key)
    }

    /// A server on this machine, by name and by address, that speaks these versions.
    pub(crate) fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        self.server_with(CertificateParams::new(names).unwrap(), versions)
    }

    /// A server that shows such a certificate.
    pub(crate) fn server_with(
        &self,
        params: CertificateParams,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let (certificate, key) = self.certify(params);
        builder(versions)
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap()
    }

    /// A server that talks only to those who show a certificate of this authority.
    pub(crate) fn server_of_members(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let names = ["localhost".to_owned()];
        let (certificate, key) = self.certify(CertificateParams::new(names).unwrap());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&self.pem).unwrap())
            .unwrap();
        let provider = Arc::new(default_provider());
        let members = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder(versions)
            .with_client_cert_verifier(members.build().unwrap())
            .with_single_cert(vec![certificate], key)
            .unwrap()
    }

    /// A server on this machine that a client who trusts this authority has no doubts about.
    pub(crate) fn usual(&self) -> Arc<ServerConfig> {
        Arc::new(self.server(ALL_VERSIONS))
    }

    /// That address, for clients who trust this authority.
    pub(crate) fn target(&self, addr: SocketAddr) -> Target {
        target(addr, "localhost", &Roots::Pem(self.pem.clone()))
    }
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

pub(crate) fn target(addr: SocketAddr, name: &str, roots: &Roots) -> Target {
    Target {
        addr: Address::Tls(addr, Tls::new(name, roots).unwrap()),
        pids: Vec::new(),
    }
}
