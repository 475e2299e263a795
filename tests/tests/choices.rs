//! Each choice has one name, which is used for parsing, printing and configuration.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use sclsd::analysis::Directions;
use sclsd::data::{Compression, Flavor, Topology};
use sclsd::graph::{Descent, StepKernel, TerminalSpec};
use sclsd::infer::{InitialValues, LearningRate, Preset};
use sclsd::model::ode::{Method, SdeMethod};
use sclsd::model::{GeneLikelihood, Precision, SimdLevel};
use sclsd::plot::Format;
use sclsd::spec::{Choice, UnknownName};
use serde_json::Value;

/// Asserts that every value is parsed from its printed name, and that no two values have the same name.
fn read_back<T: Choice + Display + FromStr<Err: Debug> + Debug + PartialEq>() {
    assert!(!T::ALL.is_empty());
    for (i, value) in T::ALL.iter().enumerate() {
        assert_eq!(&value.to_string().parse::<T>().expect("a name"), value);
        assert_eq!(value.to_string(), value.name());
        assert!(T::ALL[..i].iter().all(|other| other.name() != value.name()), "{value:?}");
    }
    assert!("none of them".parse::<T>().is_err());
}

/// Like [`read_back`], and asserts that the name is also the one in the configuration.
fn configured<T: Choice + Display + FromStr<Err = UnknownName> + Debug + PartialEq>(json: impl Fn(&T) -> Value) {
    read_back::<T>();
    for value in T::ALL {
        assert_eq!(json(value), Value::from(value.name()));
    }
}

#[test]
fn what_a_choice_is_written_as_is_read_back_and_is_its_name_in_a_configuration() {
    configured::<Method>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<SdeMethod>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<Precision>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<GeneLikelihood>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<StepKernel>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<Descent>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<LearningRate>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<InitialValues>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<Topology>(|v| serde_json::to_value(v).expect("JSON"));
    configured::<Flavor>(|v| serde_json::to_value(v).expect("JSON"));
    read_back::<SimdLevel>();
    read_back::<Compression>();
    read_back::<Preset>();
    read_back::<Directions>();
    read_back::<Format>();
}

#[test]
fn terminal_states_are_read_as_they_are_written() {
    let named = TerminalSpec::Clusters(vec!["Beta".into(), "Alpha, early".into()]);
    for spec in [TerminalSpec::None, TerminalSpec::Auto, named] {
        assert_eq!(spec.to_string().parse::<TerminalSpec>().expect("terminal states"), spec);
        let json = serde_json::to_value(&spec).expect("JSON");
        assert_eq!(json.as_str().map_or_else(|| json.to_string(), str::to_owned), spec.to_string());
    }
    let error = "Beta".parse::<TerminalSpec>().unwrap_err().to_string();
    assert_eq!(error, "terminal states \"Beta\" is not one of none, auto, a JSON list of names (such as [\"Beta\"])");
}

#[test]
fn a_name_that_is_none_is_an_error_that_lists_those_there_are() {
    let error = "rk5".parse::<Method>().unwrap_err();
    assert_eq!(error.to_string(), "ODE method \"rk5\" is not one of dopri5, tsit5, rk4, euler");
}
