//! From text to an [`Address`], by hand: no URL reader knows several hosts, and
//! none keeps a password out of what it says.

use std::{net::Ipv6Addr, path::PathBuf};

use percent_encoding::percent_decode_str;
use sshmeter_core::report::printed_name;

use super::{
    Address, AddressError, Place, Protocol,
    options::{self, Options},
};

const FORM: &str = "write `mysql://USER@HOST/DATABASE` or `postgres://USER@HOST/DATABASE`";
const PORTS: &str = "ports are 1 to 65535: `db1.example.org:3307`";
const HOSTS: &str = "a host is a name (`db1.example.org`), an IPv4 address, an IPv6 address in \
                     brackets (`[2001:db8::1]`) or a socket's path (`%2Frun%2Fmysqld%2Fmysqld.sock`)";

/// The protocol and the rest of a text that begins as an address does.
pub(super) fn scheme(text: &str) -> Option<(Protocol, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let protocol = match scheme.to_ascii_lowercase().as_str() {
        "mysql" | "mariadb" => Protocol::Mysql,
        "postgres" | "postgresql" => Protocol::Postgres,
        _ => return None,
    };
    Some((protocol, rest))
}

pub(super) fn parse(text: &str) -> Result<Address, AddressError> {
    let Some((protocol, rest)) = scheme(text) else {
        return Err(AddressError::new("this is no address of a mirror", FORM));
    };
    let (before, options) = rest
        .split_once('?')
        .map_or((rest, None), |(before, options)| (before, Some(options)));
    let (authority, database) = before
        .split_once('/')
        .map_or((before, None), |(authority, name)| (authority, Some(name)));
    // Whatever else is wrong, this comes first: nothing below may repeat a password.
    let Some((user, hosts)) = authority.rsplit_once('@') else {
        return Err(AddressError::new("the address names no user", FORM));
    };
    if user.contains(':') {
        return Err(AddressError::password());
    }
    if rest.contains('#') {
        return Err(AddressError::new(
            "there is a `#` in the address",
            "write a `#` in a name as %23",
        ));
    }
    let user = name(user, "user")?;
    let database = name(database.unwrap_or_default(), "database")?;
    let options = options::read(options)?;
    Ok(Address {
        protocol,
        user,
        places: places(protocol, hosts, &options)?,
        database,
        tls: options.tls,
        password: options.password,
    })
}

/// A user or a database.
fn name(encoded: &str, what: &str) -> Result<String, AddressError> {
    if encoded.is_empty() {
        return Err(AddressError::new(
            format!("the address names no {what}"),
            FORM,
        ));
    }
    if encoded.contains('/') {
        return Err(AddressError::new(
            format!("the {what} in the address has a `/` in it"),
            "write a `/` that is part of a name as %2F",
        ));
    }
    decoded(encoded, what)
}

/// Percent-decoding that takes nothing for granted.
pub(super) fn decoded(encoded: &str, what: &str) -> Result<String, AddressError> {
    let is_whole = encoded.split('%').skip(1).all(|after| {
        after
            .as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let text = percent_decode_str(encoded).decode_utf8();
    match text {
        Ok(text) if is_whole && !text.contains(char::is_control) => Ok(text.into_owned()),
        Ok(_) if is_whole => Err(AddressError::new(
            format!("the {what} in the address has a control character in it"),
            "no name has one: write it anew",
        )),
        _ => Err(AddressError::new(
            format!("the {what} in the address is not rightly encoded"),
            "write a `%` itself as %25, and other characters as %XX of their UTF-8",
        )),
    }
}

/// All servers, from the hosts and the option `socket`.
fn places(protocol: Protocol, hosts: &str, options: &Options) -> Result<Vec<Place>, AddressError> {
    let Some(path) = &options.socket else {
        return hosts.split(',').map(|host| place(protocol, host)).collect();
    };
    let (host, port) = host_and_port(hosts)?;
    if !matches!(host, "" | "localhost") {
        return Err(AddressError::new(
            "the address names both a host and a socket",
            "leave the host empty where there is `socket=`: `mysql://USER@/DATABASE?socket=PATH`",
        ));
    }
    Ok(vec![socket(protocol, path.clone(), port)?])
}

fn place(protocol: Protocol, text: &str) -> Result<Place, AddressError> {
    let (host, port) = host_and_port(text)?;
    let unfit =
        |host: &str| AddressError::new(format!("`{}` is no host", printed_name(host)), HOSTS);
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        let address: Ipv6Addr = address.parse().map_err(|_| unfit(host))?;
        return Ok(Place::Tcp {
            host: address.to_string(),
            port: port.unwrap_or(protocol.default_port()),
        });
    }
    let host = decoded(host, "host")?;
    if host.starts_with('/') {
        return socket(protocol, PathBuf::from(host), port);
    }
    if host.is_empty() {
        return Err(AddressError::new("the address names no host", FORM));
    }
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    if !host.chars().all(is_name) {
        return Err(unfit(&host));
    }
    Ok(Place::Tcp {
        host,
        port: port.unwrap_or(protocol.default_port()),
    })
}

/// A host as it is written, and its port.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), AddressError> {
    let after_brackets = text.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = text[after_brackets..].find(':') else {
        return Ok((text, None));
    };
    let (host, port) = text.split_at(after_brackets + colon);
    let port = &port[1..];
    if after_brackets == 0 && port.contains(':') {
        return Err(AddressError::new(
            "an IPv6 address in the address has no brackets around it",
            HOSTS,
        ));
    }
    match port.parse() {
        Ok(number) if number > 0 && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err(AddressError::new(
            format!("the port of `{}` is none", printed_name(host)),
            PORTS,
        )),
    }
}

/// PostgreSQL's socket is named by its port, in a folder; the folder will do.
fn socket(protocol: Protocol, mut path: PathBuf, port: Option<u16>) -> Result<Place, AddressError> {
    match protocol {
        Protocol::Mysql if port.is_some() => Err(AddressError::new(
            "the address names a port for a socket",
            "leave the port out: the socket's path says all",
        )),
        Protocol::Mysql => Ok(Place::Socket(path)),
        Protocol::Postgres => {
            if postgres_port(&path).is_none() {
                let port = port.unwrap_or(protocol.default_port());
                path.push(format!(".s.PGSQL.{port}"));
            }
            Ok(Place::Socket(path))
        }
    }
}

/// The port in the name of a PostgreSQL socket.
pub(in crate::mirror) fn postgres_port(path: &std::path::Path) -> Option<u16> {
    path.file_name()?
        .to_str()?
        .strip_prefix(".s.PGSQL.")?
        .parse()
        .ok()
}
