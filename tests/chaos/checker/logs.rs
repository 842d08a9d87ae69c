//! No secret is in any log, and no process has panicked.

use super::Facts;

/// Secrets that players got and that are searched for, from the first ones and the last ones.
const SEARCHED: usize = 15;

impl Facts<'_> {
    pub(super) fn logs(&self) -> Vec<String> {
        let mut secrets = self.world.secrets.clone();
        {
            let issued = &self.journal.entries().secrets;
            secrets.extend(issued.iter().take(SEARCHED).cloned());
            secrets.extend(issued.iter().rev().take(SEARCHED).cloned());
        }
        let mut found = Vec::new();
        for process in &self.world.processes {
            let log = process.log();
            for secret in &secrets {
                if log.contains(secret)
                    && let Some(line) = log.lines().find(|line| line.contains(secret))
                {
                    found.push(format!("a secret is in a log: {line}"));
                }
            }
            let panics = log.lines().filter(|line| line.contains("panicked at"));
            found.extend(panics.map(|line| format!("a panic: {line}")));
        }
        found
    }
}
