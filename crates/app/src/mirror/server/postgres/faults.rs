//! What PostgreSQL's codes mean (its manual's appendix "PostgreSQL Error Codes").

use std::{error::Error as _, io};

use tokio_postgres::{
    Error,
    error::{DbError, Severity},
};

use super::super::{
    ServerError, Target, Tried,
    error::{Fault, io_words, words},
    tls,
};

/// What an error means while connecting.
pub(super) fn connecting(target: &Target<'_>, error: &Error) -> ServerError {
    let place = target.words;
    let at = Tried::only(place);
    if let Some(said) = error.as_db_error() {
        return match said.code().code() {
            "28000" | "28P01" => ServerError::Login {
                at,
                user: target.address.user.clone(),
                said: words(said.message()),
                in_the_open: target.is_in_the_open(),
            },
            "3D000" => ServerError::NoDatabase {
                at,
                database: target.address.database.clone(),
            },
            _ => said_by_server(place, said).error,
        };
    }
    let what = error.to_string();
    let why = error.source().map(ToString::to_string).unwrap_or_default();
    // The library tells these kinds apart in its words only.
    if what.contains("TLS") {
        if why.contains("does not support TLS") {
            return ServerError::NoTls { at };
        }
        return tls::refused(place, &why);
    }
    if what.contains("authentication") || what.contains("configuration") {
        return ServerError::Login {
            at,
            user: target.address.user.clone(),
            said: if why.contains("password missing") {
                "it wants a password, and the address names none".to_owned()
            } else {
                words(&why)
            },
            in_the_open: false,
        };
    }
    ServerError::Unreachable {
        at,
        why: cause(error),
    }
}

/// What an error means afterwards.
pub(super) fn working(place: &str, error: &Error) -> Fault {
    match error.as_db_error() {
        Some(said) => said_by_server(place, said),
        None => Fault::gone(place, cause(error)),
    }
}

fn cause(error: &Error) -> String {
    match error.source() {
        _ if error.is_closed() => "it closed the connection".to_owned(),
        Some(source) => match source.downcast_ref::<io::Error>() {
            Some(source) => io_words(source),
            None => words(&format!("{error}: {source}")),
        },
        None => words(&error.to_string()),
    }
}

fn said_by_server(place: &str, said: &DbError) -> Fault {
    let at = Tried::only(place);
    let text = words(said.message());
    let error = match said.code().code() {
        "42501" => ServerError::NoRights { at, said: text },
        "42P01" => ServerError::NoTable { said: text },
        // Serialization, deadlock, a lock that was waited for too long.
        "40001" | "40P01" | "55P03" => ServerError::Conflict { said: text },
        "25006" => ServerError::ReadOnly { at },
        // Too many connections; starting up, or ending.
        "53300" | "57P03" => ServerError::NotReady { at, said: text },
        // Ended, crashed, idle for too long.
        "57P01" | "57P02" | "57P05" | "25P03" => ServerError::Gone { at, why: text },
        "54000" => ServerError::TooLarge { said: text },
        code => ServerError::Other {
            code: code.to_owned(),
            said: text,
        },
    };
    Fault {
        // One that only reads is to be left for another.
        is_fatal: matches!(
            error,
            ServerError::Gone { .. } | ServerError::ReadOnly { .. }
        ) || matches!(
            said.parsed_severity(),
            Some(Severity::Fatal | Severity::Panic)
        ),
        error,
    }
}
