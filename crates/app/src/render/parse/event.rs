//! An event as one line of JSON.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use sshmeter_core::{
    identity::{Credential, Endpoint, UserName},
    sshd::{Event, What},
};

use crate::render::text::printable_json;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Row<'a> {
    Connected {
        time: Option<Timestamp>,
        pid: Option<u32>,
        ip: Option<IpAddr>,
        port: Option<u16>,
    },
    Accepted {
        time: Option<Timestamp>,
        pid: Option<u32>,
        user: &'a str,
        method: &'a str,
        ip: Option<IpAddr>,
        port: Option<u16>,
        credential: Option<&'a str>,
    },
    Opened {
        time: Option<Timestamp>,
        pid: Option<u32>,
        user: &'a str,
    },
    Closed {
        time: Option<Timestamp>,
        pid: Option<u32>,
        user: &'a str,
    },
    Disconnected {
        time: Option<Timestamp>,
        pid: Option<u32>,
        user: Option<&'a str>,
        ip: Option<IpAddr>,
        port: Option<u16>,
        reason: &'a str,
    },
}

/// One event as one JSON object, without a newline.
///
/// # Errors
/// None that an event could cause.
pub fn event_json(event: &Event) -> serde_json::Result<String> {
    let time = event.time;
    let pid = event.pid.map(|pid| pid.0);
    let ip = |peer: &Option<Endpoint>| peer.map(Endpoint::ip);
    let port = |peer: &Option<Endpoint>| peer.map(Endpoint::port);
    let row = match &event.what {
        What::Connected { peer, .. } => Row::Connected {
            time,
            pid,
            ip: Some(peer.ip()),
            port: Some(peer.port()),
        },
        What::Accepted {
            user,
            method,
            peer,
            credential,
        } => Row::Accepted {
            time,
            pid,
            user: user.as_str(),
            method,
            ip: ip(peer),
            port: port(peer),
            credential: credential.as_ref().map(Credential::as_str),
        },
        What::Opened { user } => Row::Opened {
            time,
            pid,
            user: user.as_str(),
        },
        What::Closed { user } => Row::Closed {
            time,
            pid,
            user: user.as_str(),
        },
        What::Disconnected {
            user, peer, reason, ..
        } => Row::Disconnected {
            time,
            pid,
            user: user.as_ref().map(UserName::as_str),
            ip: ip(peer),
            port: port(peer),
            reason,
        },
    };
    serde_json::to_string(&row).map(printable_json)
}
