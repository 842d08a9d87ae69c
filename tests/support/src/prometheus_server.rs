//! A private Prometheus that scrapes our processes and evaluates the caller's rules.

use std::process::Command;
use std::time::Duration;

use reqwest::Client;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::free_port;
use crate::process::{Orphaned, Process, in_path};

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A `prometheus` process with its own port and folder; dropping it ends the server.
pub struct PrometheusServer {
    /// Base URL, without a trailing slash.
    pub url: String,
    client: Client,
    // Before the folder: fields are dropped in order, and the process must end first.
    process: Process,
    _folder: TempDir,
}

impl PrometheusServer {
    /// Starts a server that scrapes `targets` (job and URL) and evaluates `rules` (file name and text) at
    /// this interval (such as `1s`), and waits until it is ready.
    ///
    /// # Panics
    /// If it is not installed, rejects the rules, or does not become ready; the log is printed.
    pub async fn start(
        interval: &str,
        targets: &[(&str, &str)],
        rules: &[(String, String)],
    ) -> Self {
        assert!(
            in_path("prometheus").is_some(),
            "prometheus not found: run scripts/test, or install the package prometheus"
        );
        let folder = TempDir::with_prefix("avalon-prometheus-").expect("create a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("write a file of Prometheus");
        };
        for (name, text) in rules {
            write(&format!("{name}.rules"), text);
        }
        write("prometheus.yml", &config(interval, targets));

        let port = free_port();
        let mut command = Command::new("prometheus");
        command
            .current_dir(folder.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let orphaned = Orphaned {
            signal: "TERM",
            remove: Some(folder.path()),
        };
        let process = Process::spawn(&mut command, folder.path().join("log"), &orphaned);
        let client = Client::builder().no_proxy().build();
        let mut server = Self {
            url: format!("http://127.0.0.1:{port}"),
            client: client.expect("create an HTTP client"),
            process,
            _folder: folder,
        };
        server.wait_ready().await;
        server
    }

    /// Calls its HTTP API, for example `rules` or `query`, and returns the response as JSON text.
    ///
    /// # Panics
    /// If it does not respond, or responds with an error.
    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        let url = format!("{}/api/v1/{path}", self.url);
        let request = self.client.get(url).query(parameters);
        let response = request.send().await.expect("a response of Prometheus");
        let status = response.status();
        let text = response.text().await.expect("a response of Prometheus");
        assert!(status.is_success(), "{path} {parameters:?}: {text}");
        text
    }

    async fn wait_ready(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        let url = format!("{}/-/ready", self.url);
        loop {
            let response = self.client.get(&url).send().await;
            if response.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            if self.process.exited().is_some() || Instant::now() > deadline {
                panic!("Prometheus did not start:\n{}", self.process.log());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn config(interval: &str, targets: &[(&str, &str)]) -> String {
    let mut text = format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: {interval}, \
         evaluation_interval: {interval}}}\nrule_files: ['*.rules']\nscrape_configs:\n"
    );
    let mut jobs: Vec<&str> = targets.iter().map(|(job, _)| *job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    for job in jobs {
        let of_job = targets.iter().filter(|(name, _)| *name == job);
        let hosts: Vec<&str> = of_job
            .map(|(_, url)| url.trim_start_matches("http://"))
            .collect();
        let hosts = hosts.join("', '");
        text.push_str(&format!(
            "  - {{job_name: {job}, static_configs: [{{targets: ['{hosts}']}}]}}\n"
        ));
    }
    text
}
