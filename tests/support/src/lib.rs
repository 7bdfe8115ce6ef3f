//! Finds the real servers that tests run against, and starts them if they are down: no test is skipped
//! because a server is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod aws;

use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// The addresses of the running servers, as `stack up` writes them.
#[derive(Debug, Clone, Deserialize)]
pub struct Stack {
    pub postgres: Postgres,
    pub elasticsearch: Elasticsearch,
    pub aws: Aws,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Postgres {
    pub host: String,
    pub port: u16,
    pub admin_user: String,
    pub admin_password: String,
    /// The authority that signed the server's certificate, which is valid for `localhost` only.
    pub ca_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Elasticsearch {
    pub url: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Aws {
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl Stack {
    /// The running stack. Starts it if it is down.
    ///
    /// # Panics
    /// If the servers cannot be started: a test that needs them must fail and say why.
    pub fn running() -> &'static Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        STACK.get_or_init(|| match Self::bring_up() {
            Ok(stack) => stack,
            #[expect(clippy::panic, reason = "a test without its servers must fail, not be skipped")]
            Err(problem) => panic!("the servers that tests need are unavailable: {problem}"),
        })
    }

    fn bring_up() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let command = root.join("infra/local/stack");
        // Idempotent, and quick if everything runs. A lock keeps test processes apart.
        let up = Command::new(&command).arg("up").stdout(Stdio::null()).stderr(Stdio::inherit()).status();
        let up = up.map_err(|error| format!("{}: {error}", command.display()))?;
        if !up.success() {
            return Err(format!("`{} up` ended with {up}", command.display()));
        }
        let name = std::env::var("STACK_NAME").unwrap_or_else(|_| "main".to_owned());
        let file = std::env::var_os("STOREWATCH_STACK")
            .map_or_else(|| root.join(".stack/run").join(name).join("stack.json"), PathBuf::from);
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// A name that no other test has, in this run or in others at the same time. It has only lower-case letters
/// and digits, so that it can name a database, an index or a bucket.
pub fn unique_name(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{what}{:x}{:x}{count:x}", process::id(), nanos)
}
