//! When to believe a result: checks that can fail, and a verdict on each of four statements.
//!
//! A [`Check`] is a number beside its threshold and a sentence. It weighs on some of the statements: one that fails
//! either forbids a statement or asks to look closer. A statement's verdict is the worst of its checks, the result's
//! the worst of its statements:
//!
//! ```text
//! do not believe   some check failed beyond the bound that forbids the statement
//! look             some check failed
//! believe          none did
//! ```
//!
//! A check that cannot be made does not count, and says why. Here are numbers and rules; `docs/audit.md` has where
//! every threshold comes from and how often each check errs.

pub mod limits;
mod null;
mod pieces;
mod retention;
mod ring;
mod shape;
mod smoothness;
mod statement;

use std::fmt;

use serde::Serialize;

pub use limits::{Limit, limits};
pub use null::permuted;
pub use pieces::without_terminal;
pub use retention::{late_terminal, mean_difference, rise_along_walks, walks_in_own_cluster};
pub use ring::{Ring, ring};
pub use shape::{Ends, ends};
pub use smoothness::moran;
pub use statement::{Statement, Verdict};

/// One number and what it says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Its name, for machines too.
    pub name: &'static str,
    /// The number; none where the check could not be made.
    pub value: Option<f64>,
    /// What the number has to reach, or not to exceed.
    pub threshold: f64,
    /// Whether it does; none where the check could not be made or does not count.
    pub passed: Option<bool>,
    /// A sentence in plain words.
    pub says: String,
    /// What it makes of the statements it weighs on.
    #[serde(skip)]
    pub verdicts: Vec<(Statement, Verdict)>,
}

impl Check {
    /// A number held against its limit; `says` is told whether it passed.
    #[must_use]
    pub fn new(limit: &'static Limit, value: f64, says: impl FnOnce(bool) -> String) -> Self {
        let passed = limit.passes(value, limit.threshold);
        let verdict = |statement: Statement| {
            let forbids = limit.forbids.contains(&statement) && !limit.passes(value, limit.worthless);
            (statement, if forbids { Verdict::DoNotBelieve } else { Verdict::Look })
        };
        let verdicts = if passed { Vec::new() } else { limit.concerns.iter().map(|&s| verdict(s)).collect() };
        let says = says(passed);
        Self { name: limit.name, value: Some(value), threshold: limit.threshold, passed: Some(passed), says, verdicts }
    }

    /// A number that is told beside its threshold, but says nothing here; `says` has the reason.
    #[must_use]
    pub fn beside(limit: &'static Limit, value: f64, says: String) -> Self {
        let (name, threshold) = (limit.name, limit.threshold);
        Self { name, value: Some(value), threshold, passed: None, says, verdicts: Vec::new() }
    }

    /// A check that could not be made, and why.
    #[must_use]
    pub fn not_made(limit: &'static Limit, why: impl fmt::Display) -> Self {
        let says = format!("Not made: {why}.");
        Self { name: limit.name, value: None, threshold: limit.threshold, passed: None, says, verdicts: Vec::new() }
    }
}

/// Checks and what they amount to.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// In the order in which they are said.
    pub checks: Vec<Check>,
}

impl Audit {
    /// The verdict on a statement.
    #[must_use]
    pub fn of(&self, statement: Statement) -> Verdict {
        let all = self.checks.iter().flat_map(|check| &check.verdicts);
        let on = |one: Statement| match statement {
            Statement::Drivers => true,
            other => one == other,
        };
        all.filter(|(one, _)| on(*one)).map(|(_, verdict)| *verdict).max().unwrap_or(Verdict::Believe)
    }

    /// The verdict on the result: that on its worst statement.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Statement::ALL.map(|statement| self.of(statement)).into_iter().max().unwrap_or(Verdict::Believe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_as_good_as_the_worst_of_its_checks_and_drivers_as_all_of_them() {
        let words = |passed: bool| if passed { "good".to_owned() } else { "bad".to_owned() };
        let good = Check::new(&limits::KEPT, 0.95, words);
        let poor = Check::new(&limits::KEPT, 0.85, words);
        let off = Check::new(&limits::NULL, 0.5, words);
        let absent = Check::not_made(&limits::KEPT, "the file has no clusters");
        assert_eq!((good.passed, poor.passed, absent.passed), (Some(true), Some(false), None));
        assert_eq!(absent.says, "Not made: the file has no clusters.");
        let verdicts = |checks: Vec<Check>| Statement::ALL.map(|s| Audit { checks: checks.clone() }.of(s));
        assert_eq!(verdicts(vec![good.clone(), absent]), [Verdict::Believe; 4]);
        assert_eq!(verdicts(vec![good, poor, off]), [Verdict::Look; 4]);
    }

    #[test]
    fn what_is_far_beyond_its_threshold_forbids_the_statement() {
        let audit = Audit { checks: vec![Check::new(&limits::KEPT, 0.2, |_| String::new())] };
        assert_eq!(audit.of(Statement::Fates), Verdict::DoNotBelieve);
        assert_eq!(audit.of(Statement::Order), Verdict::Believe);
        assert_eq!(audit.verdict(), Verdict::DoNotBelieve);
        assert_eq!(Audit { checks: Vec::new() }.verdict(), Verdict::Believe);
    }

    #[test]
    fn a_number_that_is_none_passes_nothing() {
        for limit in limits() {
            assert_eq!(Check::new(limit, f64::NAN, |_| String::new()).passed, Some(false), "{}", limit.name);
        }
    }
}
