//! The `sclsd` program.

fn main() -> std::process::ExitCode {
    sclsd_cli::main()
}
