//! The authorities that vouch for a server's certificate: the system's, or only
//! those of a file. Nothing here can turn the check of a certificate or a name off.

use std::{io, path::Path};

use native_tls::{Certificate, TlsConnector};

use super::error::{CertificateFault, ServerError, Tried, certificate_fault, words};

/// The certificates of a PEM file; none without a file.
///
/// # Errors
/// It cannot be read, or holds no certificate.
pub(super) fn authorities(file: Option<&Path>) -> Result<Vec<Certificate>, ServerError> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let pem = std::fs::read(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "it is not there".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => words(&error.to_string()),
        };
        unusable(file, why)
    })?;
    match Certificate::stack_from_pem(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(file, "there is no certificate in it".to_owned())),
        Err(error) => Err(unusable(file, words(&error.to_string()))),
    }
}

/// The same certificates, each in DER.
///
/// # Errors
/// As [`authorities`].
pub(super) fn authorities_der(file: Option<&Path>) -> Result<Vec<Vec<u8>>, ServerError> {
    authorities(file)?
        .iter()
        .map(Certificate::to_der)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(file, words(&error.to_string())))
}

/// What makes TLS connections, by a file's authorities or the system's.
///
/// # Errors
/// The file cannot be used, or OpenSSL cannot.
pub(super) fn connector(file: Option<&Path>) -> Result<TlsConnector, ServerError> {
    let mut builder = TlsConnector::builder();
    builder.disable_built_in_roots(file.is_some());
    for certificate in authorities(file)? {
        builder.add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|error| unusable(file, words(&error.to_string())))
}

fn unusable(file: Option<&Path>, why: String) -> ServerError {
    ServerError::Authorities {
        path: file.map_or_else(String::new, |path| path.display().to_string()),
        why,
    }
}

/// What it means that TLS could not begin.
pub(super) fn refused(place: &str, said: &str) -> ServerError {
    let at = Tried::only(place);
    match certificate_fault(said) {
        Some(fault) => ServerError::Certificate { at, fault },
        None if said.contains("certificate") => ServerError::Certificate {
            at,
            fault: CertificateFault::Other(words(said)),
        },
        None => ServerError::Unreachable {
            at,
            why: format!("TLS could not begin: {}", words(said)),
        },
    }
}
