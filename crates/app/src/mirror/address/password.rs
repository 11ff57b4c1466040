//! The password's file. It is read anew for each connection, so that whoever
//! changes the password need not tell anybody; and it is kept nowhere.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::PasswordSource;

/// Longer than any server takes; a file of another kind shall not fill the memory.
const LONGEST: u64 = 64 * 1024;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The service manager hands no credentials over.
    #[error("the credential `{0}` is not there: this process was given no credentials")]
    NoCredentials(String),
    /// The service manager hands others over, and not this one.
    #[error("the credential `{0}` is not among those that this process was given")]
    NotGiven(String),
    /// There is no file.
    #[error("the password's file {} is not there", .0.display())]
    Missing(PathBuf),
    /// It may not be read, or cannot.
    #[error("the password's file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// It is a folder, a pipe, a device.
    #[error("the password's file {} is no ordinary file", .0.display())]
    NotAFile(PathBuf),
    /// Its first line is empty.
    #[error("the first line of the password's file {} is empty", .0.display())]
    Empty(PathBuf),
    /// Its first line is too long, or not UTF-8, or has a NUL in it.
    #[error("the first line of the password's file {} is no password", .0.display())]
    NotText(PathBuf),
}

impl PasswordError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoCredentials(_) | Self::NotGiven(_) => {
                "the unit hands it over with `LoadCredential=NAME:PATH`; for a command by hand, \
                 write `?password-file=PATH` in the address"
            }
            Self::Missing(_) => "write the password into it, or name another file in the address",
            Self::Unreadable { .. } => "make it readable for the user that sshmeter runs as",
            Self::NotAFile(_) | Self::Empty(_) | Self::NotText(_) => {
                "the password is the first line of an ordinary file, in UTF-8"
            }
        }
    }
}

impl PasswordSource {
    /// The file that the password is in, where there is one.
    ///
    /// # Errors
    /// It is a credential, and the process was given none.
    pub fn path(&self) -> Result<Option<PathBuf>, PasswordError> {
        self.path_in(std::env::var_os("CREDENTIALS_DIRECTORY"))
    }

    fn path_in(&self, credentials: Option<OsString>) -> Result<Option<PathBuf>, PasswordError> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => Ok(Some(path.clone())),
            Self::Credential(name) => match credentials {
                Some(folder) => Ok(Some(Path::new(&folder).join(name))),
                None => Err(PasswordError::NoCredentials(name.clone())),
            },
        }
    }

    /// The password as it is now: the first line of its file, without its end.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn read(&self) -> Result<Option<String>, PasswordError> {
        match (self, self.path()?.map(first_line).transpose()) {
            (Self::Credential(name), Err(PasswordError::Missing(_))) => {
                Err(PasswordError::NotGiven(name.clone()))
            }
            (_, read) => read,
        }
    }

    /// Whether users other than the file's owner and group may read the password.
    ///
    /// # Errors
    /// The file is not there.
    pub fn is_readable_by_others(&self) -> Result<bool, PasswordError> {
        let Some(path) = self.path()? else {
            return Ok(false);
        };
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.mode() & 0o004 != 0),
            Err(error) => Err(unreadable(path, error)),
        }
    }
}

fn first_line(path: PathBuf) -> Result<String, PasswordError> {
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) => return Err(unreadable(path, error)),
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(PasswordError::NotAFile(path));
    }
    let mut bytes = Vec::new();
    if let Err(error) = file.take(LONGEST).read_to_end(&mut bytes) {
        return Err(unreadable(path, error));
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let is_cut = end.is_none() && bytes.len() as u64 == LONGEST;
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => Err(PasswordError::Empty(path)),
        Ok(line) if !is_cut && !line.contains('\0') => Ok(line.to_owned()),
        _ => Err(PasswordError::NotText(path)),
    }
}

/// Opens without waiting: a pipe that nobody writes to would hold us for ever.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(path)
}

fn unreadable(path: PathBuf, source: io::Error) -> PasswordError {
    if source.kind() == io::ErrorKind::NotFound {
        PasswordError::Missing(path)
    } else {
        PasswordError::Unreadable { path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn password(content: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, content).unwrap();
        match PasswordSource::File(path).read() {
            Ok(password) => Ok(password.unwrap()),
            Err(error) => Err(error.to_string().rsplit_once(" is ").unwrap().1.to_owned()),
        }
    }

    #[test]
    fn the_password_is_the_first_line_without_its_end() {
        assert_eq!(password(b"se cret\n").as_deref(), Ok("se cret"));
        assert_eq!(password(b" a \r\nb\n").as_deref(), Ok(" a "));
        assert_eq!(password("ü😀".as_bytes()).as_deref(), Ok("ü😀"));
    }

    #[test]
    fn what_is_no_password_is_refused() {
        assert_eq!(password(b""), Err("empty".to_owned()));
        assert_eq!(password(b"\nsecret\n"), Err("empty".to_owned()));
        assert_eq!(password(b"\xff\n"), Err("no password".to_owned()));
        assert_eq!(password(b"a\0b\n"), Err("no password".to_owned()));
        assert_eq!(password(&[b'a'; 70_000]), Err("no password".to_owned()));
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let source = PasswordSource::File(folder.path().join("nothing"));
        assert!(matches!(source.read(), Err(PasswordError::Missing(_))));
        let source = PasswordSource::File(folder.path().to_owned());
        assert!(matches!(source.read(), Err(PasswordError::NotAFile(_))));
    }

    #[test]
    fn a_credential_is_in_the_folder_the_manager_names() {
        let source = PasswordSource::Credential("mirror".to_owned());
        let path = source.path_in(Some("/run/credentials/x".into())).unwrap();
        assert_eq!(path, Some(PathBuf::from("/run/credentials/x/mirror")));
        assert!(matches!(
            source.path_in(None),
            Err(PasswordError::NoCredentials(_))
        ));
    }

    #[test]
    fn others_reading_a_password_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = PasswordSource::File(file.path().to_owned());
        for (mode, expected) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(source.is_readable_by_others().unwrap(), expected);
        }
    }
}
