//! Butcher tableaus of explicit Runge–Kutta methods.
//!
//! ```text
//! k_i = f(t + c_i h, y + h Σ_{j<i} a_ij k_j),   y(t + h) = y + h Σ b_i k_i
//! ```

/// A method without error estimate.
#[derive(Debug, Clone)]
pub struct Tableau {
    /// Nodes: times of the stages as fractions of the step.
    pub c: &'static [f64],
    /// Row i: weights of the stages before stage i.
    pub a: &'static [&'static [f64]],
    /// Weights of the stages in the step.
    pub b: &'static [f64],
}

/// A method with error estimate and dense output, whose last stage is the first stage of the next step (FSAL).
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Stages, and their weights in the step.
    pub tableau: Tableau,
    /// Weights of the error estimate: the weights of the step minus those of the embedded method of order 4.
    pub error: [f64; 7],
    /// Dense output: `y(t + θh) = y + h Σ_i (Σ_p dense[i][p] θ^(p+1)) k_i`.
    pub dense: [[f64; 4]; 7],
}

impl Embedded {
    /// Weights of the stages at the fraction `theta` of the step.
    #[must_use]
    pub fn inside(&self, theta: f64) -> Vec<f64> {
        self.dense.iter().map(|d| theta * (d[0] + theta * (d[1] + theta * (d[2] + theta * d[3])))).collect()
    }
}

/// `y + h f(t, y)`.
pub const EULER: Tableau = Tableau { c: &[0.0], a: &[&[]], b: &[1.0] };

/// Kutta 1901, the classical Runge–Kutta method.
pub const RK4: Tableau = Tableau {
    c: &[0.0, 0.5, 0.5, 1.0],
    a: &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    b: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
};

/// Dormand and Prince, "A family of embedded Runge–Kutta formulae", J. Comp. Appl. Math. 6, 1980. Dense output:
/// Shampine, "Some practical Runge–Kutta formulas", Math. Comp. 46, 1986.
pub const DOPRI5: Embedded = Embedded {
    tableau: Tableau {
        c: &[0.0, 1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0],
        a: &[
            &[],
            &[1.0 / 5.0],
            &[3.0 / 40.0, 9.0 / 40.0],
            &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
            &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
            &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
            &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
        ],
        b: &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0, 0.0],
    },
    error: [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0],
    dense: [
        [
            1.0,
            -8_048_581_381.0 / 2_820_520_608.0,
            8_663_915_743.0 / 2_820_520_608.0,
            -12_715_105_075.0 / 11_282_082_432.0,
        ],
        [0.0, 0.0, 0.0, 0.0],
        [
            0.0,
            131_558_114_200.0 / 32_700_410_799.0,
            -68_118_460_800.0 / 10_900_136_933.0,
            87_487_479_700.0 / 32_700_410_799.0,
        ],
        [
            0.0,
            -1_754_552_775.0 / 470_086_768.0,
            14_199_869_525.0 / 1_410_260_304.0,
            -10_690_763_975.0 / 1_880_347_072.0,
        ],
        [
            0.0,
            127_303_824_393.0 / 49_829_197_408.0,
            -318_862_633_887.0 / 49_829_197_408.0,
            701_980_252_875.0 / 199_316_789_632.0,
        ],
        [0.0, -282_668_133.0 / 205_662_961.0, 2_019_193_451.0 / 616_988_883.0, -1_453_857_185.0 / 822_651_844.0],
        [0.0, 40_617_522.0 / 29_380_423.0, -110_615_467.0 / 29_380_423.0, 69_997_945.0 / 29_380_423.0],
    ],
};

/// Tsitouras, "Runge–Kutta pairs of order 5(4) satisfying only the first column simplifying assumption", Comput. Math.
/// Appl. 62, 2011. The dense output is from the same paper, with its factors multiplied out.
pub const TSIT5: Embedded = Embedded {
    tableau: Tableau {
        c: &[0.0, 0.161, 0.327, 0.9, 0.980_025_540_904_509_7, 1.0, 1.0],
        a: &[
            &[],
            &[0.161],
            &[-0.008_480_655_492_356_989, 0.335_480_655_492_357],
            &[2.897_153_057_105_493, -6.359_448_489_975_075, 4.362_295_432_869_581],
            &[5.325_864_828_439_257, -11.748_883_564_062_828, 7.495_539_342_889_836, -0.092_495_066_361_755_25],
            &[
                5.861_455_442_946_42,
                -12.920_969_317_847_11,
                8.159_367_898_576_159,
                -0.071_584_973_281_401,
                -0.028_269_050_394_068_383,
            ],
            &TSIT5_B6,
        ],
        b: &[TSIT5_B6[0], TSIT5_B6[1], TSIT5_B6[2], TSIT5_B6[3], TSIT5_B6[4], TSIT5_B6[5], 0.0],
    },
    error: [
        -0.001_780_011_052_225_777,
        -0.000_816_434_459_656_746_9,
        0.007_880_878_010_261_995,
        -0.144_711_007_173_263,
        0.582_357_165_452_555_2,
        -0.458_082_105_929_187,
        1.0 / 66.0,
    ],
    dense: [
        quartic(-1.053_088_497_729_021_6, [1.329_989_018_975_141, 1.436_402_854_171_635, 0.713_981_691_707_421]),
        square(0.1017, 2.196_656_833_824_975_4, 1.294_985_250_737_463),
        square(2.490_627_285_651_253, 2.385_356_454_720_616_6, 1.578_034_682_080_925),
        roots(-16.548_102_889_244_902, 1.217_129_272_955_332_4, 0.616_204_060_378_000_9),
        roots(47.379_521_962_819_28, 1.203_071_208_372_362_7, 0.658_047_292_653_547_4),
        roots(-34.870_657_861_496_61, 1.2, 2.0 / 3.0),
        roots(2.5, 1.0, 0.6),
    ],
};

const TSIT5_B6: [f64; 6] = [
    0.096_460_766_818_065_23,
    0.01,
    0.479_889_650_414_499_6,
    1.379_008_574_103_742,
    -3.290_069_515_436_081,
    2.324_710_524_099_774,
];

/// Coefficients of `s θ (θ − r) (θ² − p θ + q)`, from θ to θ⁴.
const fn quartic(s: f64, [r, p, q]: [f64; 3]) -> [f64; 4] {
    [-s * r * q, s * (q + r * p), -s * (p + r), s]
}

/// Coefficients of `s θ² (θ² − p θ + q)`, from θ to θ⁴.
const fn square(s: f64, p: f64, q: f64) -> [f64; 4] {
    [0.0, s * q, -s * p, s]
}

/// Coefficients of `s θ² (θ − u) (θ − v)`, from θ to θ⁴.
const fn roots(s: f64, u: f64, v: f64) -> [f64; 4] {
    square(s, u + v, u * v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, what: &str) {
        assert!((a - b).abs() < 1e-9, "{what}: {a} {b}");
    }

    #[test]
    fn stages_stand_at_their_times_and_weights_sum_to_one() {
        for tableau in [&EULER, &RK4, &DOPRI5.tableau, &TSIT5.tableau] {
            for (c, a) in tableau.c.iter().zip(tableau.a) {
                near(*c, a.iter().sum(), "row sum");
            }
            near(tableau.b.iter().sum(), 1.0, "weights");
        }
    }

    #[test]
    fn weights_satisfy_the_quadrature_conditions_of_their_order() {
        for (tableau, order) in [(&RK4, 4), (&DOPRI5.tableau, 5), (&TSIT5.tableau, 5)] {
            for power in 0..order {
                let sum: f64 = tableau.b.iter().zip(tableau.c).map(|(b, c)| b * c.powi(power)).sum();
                near(sum, 1.0 / f64::from(power + 1), "quadrature");
            }
        }
    }

    #[test]
    fn dense_output_ends_at_the_step_and_is_of_order_four_between() {
        for method in [&DOPRI5, &TSIT5] {
            for (dense, b) in method.dense.iter().zip(method.tableau.b) {
                near(dense.iter().sum(), *b, "end");
            }
            near(method.error.iter().sum(), 0.0, "error weights");
            for power in 0..4 {
                for theta in [0.25_f64, 0.6] {
                    let at =
                        |d: &[f64; 4]| (0..4).map(|p| d[p] * theta.powi(i32::try_from(p).unwrap() + 1)).sum::<f64>();
                    let sum: f64 = method.dense.iter().zip(method.tableau.c).map(|(d, c)| at(d) * c.powi(power)).sum();
                    near(sum, theta.powi(power + 1) / f64::from(power + 1), "dense quadrature");
                }
            }
        }
    }
}
