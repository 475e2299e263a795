//! The `sclsd` program for the tests, under a name that does not collide with the real one.

fn main() -> std::process::ExitCode {
    sclsd_cli::main()
}
