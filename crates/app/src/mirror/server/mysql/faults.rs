//! What MySQL's and MariaDB's numbers mean. They are listed in MySQL's "Server
//! Error Message Reference" and MariaDB's "MariaDB Error Code Reference".

use mysql_async::{DriverError, Error, IoError, ServerError as Said};

use super::super::{
    ServerError, Target, Tried,
    error::{Fault, io_words, words},
    tls,
};

/// What an error means while connecting.
pub(super) fn connecting(target: &Target<'_>, error: Error) -> ServerError {
    let place = target.words;
    let at = Tried::only(place);
    let unreachable = |why: String| ServerError::Unreachable {
        at: Tried::only(place),
        why,
    };
    let login = |said: String| ServerError::Login {
        at: Tried::only(place),
        user: target.address.user.clone(),
        said,
        in_the_open: target.is_in_the_open(),
    };
    match error {
        Error::Server(said) => match said.code {
            // 1045, 1698: the password; 1130: the host; 1251, 1524: the method; 1862,
            // 1820: expired; 3118, 4151: locked; 3159, 3169: TLS wanted.
            1045 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 3169 | 4151 | 4161 => {
                login(words(&said.message))
            }
            1049 => ServerError::NoDatabase {
                at,
                database: target.address.database.clone(),
            },
            _ => said_by_server(place, &said).error,
        },
        Error::Io(IoError::Io(error)) => unreachable(io_words(&error)),
        Error::Io(IoError::Tls(error)) => tls::refused(place, &error.to_string()),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => ServerError::NoTls { at },
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => login(format!(
            "it wants the login method `{}`, which is not known here",
            words(&name)
        )),
        Error::Driver(
            error @ (DriverError::CleartextPluginDisabled | DriverError::MysqlOldPasswordDisabled),
        ) => login(format!("it wants an unsafe login method ({error})")),
        Error::Driver(DriverError::ConnectionClosed) => {
            unreachable("it closed the connection".to_owned())
        }
        other => unreachable(format!(
            "it does not speak MySQL's protocol as it is known here ({})",
            words(&other.to_string())
        )),
    }
}

/// What an error means afterwards.
pub(super) fn working(place: &str, error: Error) -> Fault {
    match error {
        Error::Server(said) => said_by_server(place, &said),
        Error::Io(IoError::Io(error)) => Fault::gone(place, io_words(&error)),
        Error::Driver(DriverError::ConnectionClosed) => Fault::gone(place, "it was closed"),
        other => Fault::gone(place, words(&other.to_string())),
    }
}

fn said_by_server(place: &str, said: &Said) -> Fault {
    let at = Tried::only(place);
    let text = words(&said.message);
    let error = match said.code {
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 1419 => ServerError::NoRights { at, said: text },
        1146 => ServerError::NoTable { said: text },
        // 1020: MariaDB's snapshot; 1205, 1213: locks; 3101: a group's certification.
        1020 | 1205 | 1213 | 3101 => ServerError::Conflict { said: text },
        1153 | 1301 | 1390 => ServerError::TooLarge { said: text },
        1290 if text.contains("read-only") || text.contains("read_only") => {
            ServerError::ReadOnly { at }
        }
        1792 | 1836 | 3100 => ServerError::ReadOnly { at },
        // Galera has no number of its own; 1040, 1203, 1226: too many connections.
        1047 if text.contains("WSREP") => ServerError::NotReady { at, said: text },
        // A commit that met the end of the cluster (Galera's provider says so by 1180).
        1180 if text.contains("provider status") => ServerError::NotReady { at, said: text },
        1040 | 1203 | 1226 | 3168 => ServerError::NotReady { at, said: text },
        // The server ends, or ended this connection.
        1053 | 1077..=1079 | 1152 | 1158..=1161 | 1184 | 1927 | 4031 => {
            ServerError::Gone { at, why: text }
        }
        code => ServerError::Other {
            code: code.to_string(),
            said: text,
        },
    };
    Fault {
        // After a packet that is too large the server hangs up. One that only reads, or
        // has lost its cluster, is to be left for another.
        is_fatal: matches!(
            error,
            ServerError::Gone { .. } | ServerError::ReadOnly { .. } | ServerError::NotReady { .. }
        ) || said.code == 1153,
        error,
    }
}
