//! What a server is asked, who may ask it, and by which address.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    Auth, Database, Rows,
    kind::Login,
    text::{encoded, encoded_path, write},
};

impl Database {
    /// Asks as the administrator, in the administrator's database; any number of
    /// statements.
    ///
    /// # Panics
    /// With the server's words, when it refuses.
    pub fn query(&self, sql: &str) -> Rows {
        expected(sql, self.try_query(sql))
    }

    /// The same in a database.
    ///
    /// # Panics
    /// With the server's words, when it refuses.
    pub fn query_in(&self, database: &str, sql: &str) -> Rows {
        expected(sql, self.try_query_in(database, sql))
    }

    /// The same where the server may refuse, or be away.
    ///
    /// # Errors
    /// The server's words.
    pub fn try_query(&self, sql: &str) -> Result<Rows, String> {
        self.ask(self.kind().administrator(), sql)
    }

    /// The same in a database.
    ///
    /// # Errors
    /// The server's words.
    pub fn try_query_in(&self, database: &str, sql: &str) -> Result<Rows, String> {
        let login = Login {
            database,
            ..self.kind().administrator()
        };
        self.ask(login, sql)
    }

    /// Asks as a user, over the Unix socket.
    ///
    /// # Errors
    /// The server's words.
    pub fn query_as(
        &self,
        user: &str,
        password: &str,
        database: &str,
        sql: &str,
    ) -> Result<Rows, String> {
        let login = Login {
            user,
            password: Some(password),
            database,
        };
        self.ask(login, sql)
    }

    fn ask(&self, login: Login<'_>, sql: &str) -> Result<Rows, String> {
        let mut command = self.kind().client(self.layout(), login);
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let mut input = client.stdin.take().expect("the input is a pipe");
        let sql = sql.to_owned();
        let writer = std::thread::spawn(move || {
            // A client that was refused reads none of it.
            let _ = input.write_all(sql.as_bytes());
        });
        let output = client.wait_with_output().expect("a client ends");
        writer.join().expect("the writer does not panic");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).expect("the client speaks UTF-8");
        Ok(self.kind().rows(&text))
    }

    /// The server's own client, as the administrator in a database: it does what
    /// its standard input says, as it comes, and ends with it.
    #[must_use]
    pub fn client(&self, database: &str) -> Command {
        let login = Login {
            database,
            ..self.kind().administrator()
        };
        self.kind().client(self.layout(), login)
    }

    /// Makes an empty database.
    pub fn create_database(&self, name: &str) {
        self.query(&self.kind().create_database(name));
    }

    /// Makes a user without any right; a password is also put into
    /// [`Self::password_file`].
    ///
    /// # Panics
    /// When this kind of server knows no such way to authenticate.
    pub fn create_user(&self, name: &str, auth: &Auth) {
        self.query(&self.kind().create_user(name, auth));
        if let Some(password) = auth.password() {
            write(&self.layout().password(name), &format!("{password}\n"));
        }
    }

    /// Lets a user do everything in a database.
    pub fn grant(&self, user: &str, database: &str) {
        self.query_in(database, &self.kind().grant(user, database));
    }

    /// Makes the database and the user that most tests want, both called
    /// `sshmeter`, and gives their address.
    pub fn ready_for_sshmeter(&self) -> String {
        self.create_database("sshmeter");
        self.create_user("sshmeter", &Auth::Password(super::PASSWORD.to_owned()));
        self.grant("sshmeter", "sshmeter");
        self.url("sshmeter", "sshmeter")
    }

    /// The file with a user's password, which only root may read.
    #[must_use]
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.layout().password(user)
    }

    /// The Unix socket; of PostgreSQL its folder.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.kind().socket(self.layout())
    }

    /// The TCP port, where there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.layout()
            .listener
            .as_ref()
            .map(|listener| listener.port)
    }

    /// An address as sshmeter takes it: by TCP where the server was made so, by
    /// the Unix socket otherwise.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        match &self.layout().listener {
            Some(listener) => self.tcp_url(&listener.address, user, database),
            None => self.socket_url(user, database),
        }
    }

    /// An address by the Unix socket.
    #[must_use]
    pub fn socket_url(&self, user: &str, database: &str) -> String {
        let socket = encoded_path(&self.socket());
        self.with_password("", user, database, &format!("socket={socket}"))
    }

    /// An address by TCP, under this name of the host.
    ///
    /// # Panics
    /// When the server has no port.
    #[must_use]
    pub fn tcp_url(&self, host: &str, user: &str, database: &str) -> String {
        let port = self.port().expect("the server has a port");
        let tls = match &self.layout().authority {
            Some(authority) => format!("ca={}", encoded_path(authority)),
            None => "tls=off".to_owned(),
        };
        self.with_password(&format!("{host}:{port}"), user, database, &tls)
    }

    fn with_password(&self, place: &str, user: &str, database: &str, query: &str) -> String {
        let file = self.layout().password(user);
        let password = if file.exists() {
            format!("&password-file={}", encoded_path(&file))
        } else {
            String::new()
        };
        format!(
            "{}://{}@{place}/{}?{query}{password}",
            self.kind().scheme(),
            encoded(user),
            encoded(database)
        )
    }
}

fn expected(sql: &str, answer: Result<Rows, String>) -> Rows {
    answer.unwrap_or_else(|error| panic!("{sql}\nwas refused: {error}"))
}
