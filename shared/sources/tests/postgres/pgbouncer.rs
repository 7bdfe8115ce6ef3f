//! PgBouncer in front of the stack's PostgreSQL: runs the transactions of many clients on one server
//! connection, and serves TLS with OpenSSL and any certificate that a test needs.

use std::fs::Permissions;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use storewatch_stack_client::{Stack, unique_name};

/// A PgBouncer with transaction pooling and one server connection per database.
pub(crate) struct PgBouncer {
    process: Child,
    pub(crate) port: u16,
    folder: PathBuf,
}

/// A server certificate and its key.
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
}

impl PgBouncer {
    /// Starts it with `extra` configuration lines.
    pub(crate) fn start(certificate: Option<&Certificate>, extra: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let found = Command::new(root.join("infra/local/stack")).arg("pgbouncer").output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let printed = String::from_utf8(found.stdout).unwrap();
        let program = printed.lines().last().unwrap().to_owned();
        let pg = &Stack::running().postgres;
        let folder = std::env::temp_dir().join(unique_name("pgbouncer"));
        std::fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let users = format!("\"{}\" \"{}\"\n", pg.admin_user, pg.admin_password);
        std::fs::write(folder.join("users"), users).unwrap();
        let mut tls = String::new();
        if let Some(Certificate { file, key }) = certificate {
            std::fs::copy(file, folder.join("server.pem")).unwrap();
            std::fs::copy(key, folder.join("server.key")).unwrap();
            let at = folder.display();
            tls = format!(
                "client_tls_sslmode = require\nclient_tls_cert_file = {at}/server.pem\nclient_tls_key_file = {at}/server.key\n"
            );
        }
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {at}/users\nlogfile = {at}/log\n\
             pool_mode = transaction\ndefault_pool_size = 1\nserver_round_robin = 0\n{tls}{extra}\n",
            pg.port,
            at = folder.display()
        );
        std::fs::write(folder.join("pgbouncer.ini"), configuration).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let mut command = Command::new(program);
        // Like PostgreSQL, it refuses to run as root.
        if is_root() {
            let owned = Command::new("chown").arg("-R").arg("postgres").arg(&folder).status().unwrap();
            assert!(owned.success());
            command.args(["-u", "postgres"]);
        }
        command.arg(folder.join("pgbouncer.ini")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let mut started = Self { process, port, folder };
        started.wait();
        started
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "PgBouncer exited: {}", log());
            assert!(Instant::now() < deadline, "PgBouncer does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// A certificate authority made with openssl, in its own folder.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(unique_name("authority"));
        std::fs::create_dir(&folder).unwrap();
        let made = Self { folder };
        made.self_signed("ca", "/CN=a test's authority", "basicConstraints=critical,CA:TRUE");
        made
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The certificate with this name, PEM.
    pub(crate) fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(&format!("{name}.pem"))).unwrap()
    }

    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        let done = command.args(line.split(' ').map(|word| word.replace('+', " "))).current_dir(&self.folder);
        let done = done.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn certificate(&self, name: &str) -> Certificate {
        Certificate { file: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}.key")) }
    }

    /// Makes a self-signed certificate of version 3.
    pub(crate) fn self_signed(&self, name: &str, subject: &str, extension: &str) -> Certificate {
        let subject = subject.replace(' ', "+");
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 10 -subj {subject} -addext {extension}"
        ));
        self.certificate(name)
    }

    /// Makes a self-signed certificate of version 1: `openssl x509 -req` makes one if there are no extensions.
    pub(crate) fn of_version_1(&self, name: &str, key: &str) -> Certificate {
        self.openssl(&format!(
            "req -new -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN=localhost"
        ));
        self.openssl(&format!("x509 -req -in {name}.csr -signkey {name}.key -out {name}.pem -days 10"));
        self.certificate(name)
    }

    /// Makes a certificate that the authority signs.
    pub(crate) fn signed(&self, name: &str, subject: &str, extensions: &str) -> Certificate {
        std::fs::write(self.file(&format!("{name}.ext")), extensions).unwrap();
        self.openssl(&format!(
            "req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {name}.ext -out {name}.pem -days 10"
        ));
        self.certificate(name)
    }
}
