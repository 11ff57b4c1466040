//! What follows the `?` of an address.

use std::path::PathBuf;

use super::{AddressError, PasswordSource, Tls, parse::decoded};

const KNOWN: &str = "the options are socket=PATH, password-file=PATH, password-credential=NAME, ca=PATH and tls=off";

/// The options' values.
pub(super) struct Options {
    pub(super) socket: Option<PathBuf>,
    pub(super) password: PasswordSource,
    pub(super) tls: Tls,
}

/// Reads `name=value&…`.
pub(super) fn read(text: Option<&str>) -> Result<Options, AddressError> {
    let mut options = Options {
        socket: None,
        password: PasswordSource::None,
        tls: Tls::Verified { authorities: None },
    };
    let mut seen: Vec<&str> = Vec::new();
    let Some(text) = text else {
        return Ok(options);
    };
    for option in text.split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        if matches!(name, "password" | "passwd" | "pass" | "pwd") {
            return Err(AddressError::password());
        }
        if seen.contains(&name) {
            return Err(AddressError::new(
                format!("the address has the option `{name}` twice"),
                "leave one of them out",
            ));
        }
        one(&mut options, name, value)?;
        seen.push(name);
    }
    let both = |one, other| seen.contains(&one) && seen.contains(&other);
    if both("password-file", "password-credential") {
        return Err(AddressError::new(
            "the address names two passwords",
            "leave either `password-file=` or `password-credential=` out",
        ));
    }
    if both("ca", "tls") {
        return Err(AddressError::new(
            "the address names authorities for TLS and turns TLS off",
            "leave either `ca=` or `tls=off` out",
        ));
    }
    Ok(options)
}

fn one(options: &mut Options, name: &str, value: &str) -> Result<(), AddressError> {
    match name {
        "socket" => options.socket = Some(path("socket", value)?),
        "password-file" => options.password = PasswordSource::File(path("password-file", value)?),
        "password-credential" => options.password = PasswordSource::Credential(credential(value)?),
        "ca" => {
            options.tls = Tls::Verified {
                authorities: Some(path("ca", value)?),
            };
        }
        "tls" if value == "off" => options.tls = Tls::Off,
        "tls" => {
            return Err(AddressError::new(
                "the option `tls` can only be `off`",
                "without it TLS is spoken, and the server's certificate checked",
            ));
        }
        // Its name is not repeated: a password with a `?` in it would end here.
        _ => {
            return Err(AddressError::new(
                "the address has an option that is not known",
                KNOWN,
            ));
        }
    }
    Ok(())
}

fn path(name: &str, value: &str) -> Result<PathBuf, AddressError> {
    let path = PathBuf::from(decoded(value, &format!("path of `{name}`"))?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(AddressError::new(
            format!("the option `{name}` is no whole path"),
            "write the path from `/` on",
        ))
    }
}

fn credential(value: &str) -> Result<String, AddressError> {
    let name = decoded(value, "credential")?;
    if name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | "..") {
        return Err(AddressError::new(
            "the option `password-credential` is no credential's name",
            "write the name that is in front of the `:` in the unit's `LoadCredential=`; a path \
             is for `password-file=`",
        ));
    }
    Ok(name)
}
