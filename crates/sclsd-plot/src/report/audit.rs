//! The audit on the page: its verdict, what that is on every statement, and each check.

use serde::Serialize;

/// An audit as a page shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ReportAudit {
    /// "believe", "look" or "do not believe".
    pub verdict: String,
    /// Statements and the verdict on each.
    pub statements: Vec<(String, String)>,
    /// Every check, made or not.
    pub checks: Vec<ReportCheck>,
}

/// One check as a page shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ReportCheck {
    /// What it is called.
    pub name: String,
    /// Its number; none where it was not made.
    pub value: Option<f64>,
    /// What the number is held against.
    pub threshold: f64,
    /// Whether it passed; none where it was not made.
    pub passed: Option<bool>,
    /// A sentence in plain words.
    pub says: String,
}
