//! The program as the tests run it: `sclsd` itself under a name that does not collide with it.

fn main() -> std::process::ExitCode {
    sclsd_cli::main()
}
