//! What a server shall be.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use super::{
    Backend, Certificate, Database, pristine,
    server::{Layout, Listener},
    text,
};
use crate::{Keeper, Network};

/// Ports that Linux gives to nobody by itself.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// What a server shall be.
#[derive(Clone, Debug)]
pub struct DatabaseBuilder {
    backend: Backend,
    options: Vec<String>,
    listener: Option<Listener>,
    network: Network,
    certificate: Option<Certificate>,
    at_the_first_start: Vec<String>,
    place: Option<PathBuf>,
}

impl DatabaseBuilder {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            options: Vec::new(),
            listener: None,
            network: Network::Own,
            certificate: None,
            at_the_first_start: Vec::new(),
            place: None,
        }
    }

    /// One line more for its config file, such as `max_allowed_packet=1M`.
    #[must_use]
    pub fn option(mut self, line: &str) -> Self {
        self.options.push(line.to_owned());
        self
    }

    /// Keeps its files in a folder below this one, which the servers' account can
    /// enter; in memory otherwise, where that is large enough.
    #[must_use]
    pub fn files_in(mut self, place: &Path) -> Self {
        self.place = Some(place.to_owned());
        self
    }

    /// Listens on this machine's 127.0.0.1 too, on a port that is free.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.network = Network::ThisMachine;
        self.listener = Some(Listener {
            address: "127.0.0.1".to_owned(),
            port: free_port(),
        });
        self
    }

    /// Listens in a network of the test too, on one of its addresses or, with
    /// `0.0.0.0`, on all.
    #[must_use]
    pub fn tcp_in(mut self, network: &Keeper, address: &str, port: u16) -> Self {
        self.network = Network::Of(network.leader());
        self.listener = Some(Listener {
            address: address.to_owned(),
            port,
        });
        self
    }

    /// Takes TCP connections with TLS, and no other.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    pub(super) fn at_the_first_start(mut self, argument: &str) -> Self {
        self.at_the_first_start.push(argument.to_owned());
        self
    }

    /// Makes the server and waits until it answers.
    ///
    /// # Panics
    /// With the server's log, when it does not.
    #[must_use]
    pub fn start(self) -> Database {
        let mut database = self.made(&|kind, data| pristine::copy_to(kind, data));
        database.launch();
        database.wait_until_it_answers();
        database
    }

    /// Makes the server's folder, with a data folder made by `make`.
    pub(super) fn made(self, make: &dyn Fn(&dyn super::kind::Kind, &Path)) -> Database {
        let kind = self.backend.kind();
        let folder = match &self.place {
            Some(place) => pristine::folder_in(place),
            None => pristine::folder(),
        };
        let layout = Layout {
            folder: folder.path().to_owned(),
            listener: self.listener,
            options: self.options,
            authority: self.certificate.as_ref().map(|own| own.authority.clone()),
        };
        make(kind, &layout.data());
        if let Some(certificate) = &self.certificate {
            text::copy(&certificate.certificate, &layout.certificate());
            text::copy(&certificate.key, &layout.key());
        }
        kind.configure(&layout);
        pristine::give(&layout.folder);
        Database::new(
            self.backend,
            folder,
            layout,
            self.network,
            self.at_the_first_start,
        )
    }
}

/// A port of 127.0.0.1 that nobody listens on.
///
/// It is not one of those that connections get, or a connection of this machine
/// could have it before the server does; and it is taken at random, since other
/// tests look for one at the same time.
pub(super) fn free_port() -> u16 {
    loop {
        let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid");
        let random = random.expect("Linux gives random numbers");
        let number = u16::from_str_radix(&random[..4], 16).expect("it begins with digits");
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
