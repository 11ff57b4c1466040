//! Certificates for servers, good ones and others, made by `openssl`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;

use super::text::{succeed, write};

/// A server's certificate and key, and who vouches for it. The files are there
/// as long as this or its [`Authority`] is.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// The authority's certificate, PEM.
    pub authority: PathBuf,
    _folder: Arc<TempDir>,
}

/// Who vouches for certificates.
#[derive(Clone, Debug)]
pub struct Authority {
    folder: Arc<TempDir>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Valid {
    Now,
    LongAgo,
}

impl Authority {
    /// A new one, unknown to all systems.
    ///
    /// # Panics
    /// When `openssl` cannot make one.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        let authority = Self {
            folder: Arc::new(folder),
        };
        succeed(
            openssl(&[
                "req",
                "-x509",
                "-days",
                "2",
                "-subj",
                "/CN=an authority of the tests",
            ])
            .args(KEY)
            .arg("-keyout")
            .arg(authority.path("authority.key"))
            .arg("-out")
            .arg(authority.certificate()),
        );
        authority
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// A certificate for a server of these names, such as `DNS:localhost` and
    /// `IP:127.0.0.1`.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Certificate {
        self.sign("server", Some(names), Valid::Now)
    }

    /// One that has expired.
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Certificate {
        self.sign("expired", Some(names), Valid::LongAgo)
    }

    /// One of X.509's first version, which has no room for names but the one
    /// that it is about. MySQL's and MariaDB's manuals make such ones.
    #[must_use]
    pub fn version_1(&self, name: &str) -> Certificate {
        self.sign(name, None, Valid::Now)
    }

    fn sign(&self, name: &str, names: Option<&[&str]>, valid: Valid) -> Certificate {
        let number = self.folder.path().read_dir().map_or(0, Iterator::count);
        let file = |end: &str| self.path(&format!("{number}.{end}"));
        succeed(
            openssl(&["req", "-new", "-subj", &format!("/CN={name}")])
                .args(KEY)
                .arg("-keyout")
                .arg(file("key"))
                .arg("-out")
                .arg(file("request")),
        );
        let mut command = match valid {
            Valid::Now => openssl(&["x509"]),
            Valid::LongAgo => {
                let mut command = Command::new("faketime");
                command.args(["2001-09-09 01:46:40", "openssl", "x509"]);
                command
            }
        };
        command.args(["-req", "-days", "2", "-CAcreateserial"]);
        if let Some(names) = names {
            write(
                &file("names"),
                &format!("subjectAltName={}\n", names.join(",")),
            );
            command.arg("-extfile").arg(file("names"));
        }
        succeed(
            command
                .arg("-in")
                .arg(file("request"))
                .arg("-CA")
                .arg(self.certificate())
                .arg("-CAkey")
                .arg(self.path("authority.key"))
                .arg("-out")
                .arg(file("pem")),
        );
        Certificate {
            certificate: file("pem"),
            key: file("key"),
            authority: self.certificate(),
            _folder: Arc::clone(&self.folder),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// What `openssl` says of it.
    #[must_use]
    pub fn text(&self) -> String {
        succeed(openssl(&["x509", "-noout", "-text", "-in"]).arg(Path::new(&self.certificate)))
    }
}

/// A new key that is quickly made.
const KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
];

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments);
    command
}
