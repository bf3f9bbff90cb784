//! S3 over the real daemon: real clients, raw requests, and the other doors.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod crashes;
mod hostile;
mod house;
mod https;
mod listing;
mod locked;
mod notified;
mod one_data_set;
mod programs;
mod slow;

use admin::S3KeyReport;
use e2e::s3_request::{S3Answer, S3Request, exchange, now};
use e2e::{Daemon, DaemonOptions};
use tempfile::TempDir;

/// A daemon, and a key of the superuser's account.
struct Scene {
    daemon: Daemon,
    key: S3KeyReport,
    scratch: TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene::with("")
    }

    fn with(configuration: &str) -> Scene {
        let scratch = TempDir::new().unwrap();
        let options = DaemonOptions {
            flags: vec!["--drive-size".into(), "512M".into()],
            configuration: configuration.to_owned(),
            ..DaemonOptions::default()
        };
        let daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
        let key = daemon.s3_key("main", &["--user", "0"]).unwrap();
        Scene { daemon, key, scratch }
    }

    /// Signed with the key of the scene.
    fn ask(&self, request: S3Request) -> S3Answer {
        exchange(self.daemon.s3(), &request.signed(self.daemon.s3(), &self.key, &now())).unwrap()
    }

    fn must(&self, request: S3Request) -> S3Answer {
        let answer = self.ask(request.clone());
        assert!((200..300).contains(&answer.status), "{request:?}: {} {}", answer.status, answer.code());
        answer
    }

    fn put(&self, target: &str, body: impl Into<Vec<u8>>) -> S3Answer {
        self.must(S3Request::new("PUT", target).body(body))
    }

    fn get(&self, target: &str) -> S3Answer {
        self.ask(S3Request::new("GET", target))
    }
}
