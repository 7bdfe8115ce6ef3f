//! A stand-in for a domain of Amazon OpenSearch Service, in front of a real node. See domain.py.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Runs until it is dropped.
pub(crate) struct Domain {
    pub(crate) url: String,
    process: Child,
}

impl Drop for Domain {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Domain {
    pub(crate) const KEY: &str = "AKIDEXAMPLE";
    pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    pub(crate) const REGION: &str = "eu-west-1";

    pub(crate) async fn start(upstream: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/domain.py");
        let mut process = Command::new("python3")
            .args([script, upstream])
            .env("AWS_ACCESS_KEY_ID", Self::KEY)
            .env("AWS_SECRET_ACCESS_KEY", Self::SECRET)
            .env("AWS_REGION", Self::REGION)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "{script} did not start");
        Self { url: url.trim().to_owned(), process }
    }
}
