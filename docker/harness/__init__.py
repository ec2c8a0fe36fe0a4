"""The host's side of the harness: it runs one suite on every JAX and every backend.

The words that all modules use:

- A *row* of docker/matrix.toml is one release line of JAX. A *backend* is `cpu`, `cuda` or `tpu`.
- A *cell* is one Python, one JAX and one backend: `py311-jax0.4.30-cpu`. A row makes a cell for each backend.
- A *lock* names the exact packages of a cell. A *floating* cell has none: its JAX is the latest, or a nightly build.
- The *bridge* (docker/bridge) runs an old JAX whose own jaxlib is gone from the package index.
- An *environment* is the folder with the installed packages of a cell. An *image* is the same for a container.
- A *snapshot* is a copy of the source that is hashed, built and tested. Later changes of the checkout don't matter.
- A *result* has one of six *outcomes*, and the hashes of what was tested. It is *stale* if these have changed.
- The *proof of place* shows that the tests ran on the device of the cell, and not on the CPU.

The modules, in the order in which they are best read. docker/run.py is where a run begins.

- The list of cells: `matrix_file` reads docker/matrix.toml with the checks of `toml_schema`. `rows` makes the cells.
  `choice` has the command-line arguments that choose among them. `paths` has the paths of the checkout.
- Their packages: `locks` resolves them, with the answers of the package `index`. `bases` does the same for base images.
- What is tested: `snapshot` copies the source. `fingerprint` hashes it, without the generated parts of its `pages`.
  `suite` builds the wheel and copies the tests.
- The result: `results` has its form. `resume` decides whether an old one is still valid. `run_files` reads the files
  that a run wrote, and `verdict` makes a result of them. `package_source` names the file to correct if packages can't
  be installed.
- A cell on this host: `host` runs it with tox, in the `environment` of the cell. `interpreters` finds its Python,
  `hardware` its device. `isolation` keeps the settings of the user out.
- A cell in a container: `container` runs it. `engine` talks to Docker, `image` describes the build, `devices` gives the
  container its device, and `docker_errors` explains Docker's errors. `interactive` builds images and opens shells.
- The JAX that is installed already: `installed_jax` runs the suite with it. `device_check` also checks the device and
  the speed.
- Many cells: `scheduler` starts them. `run_lock` allows one run at a time, and `signals` handles Ctrl-C. `display`
  shows the progress, and `eta` estimates the time that is left.
- All results: `table` draws them, with a mark from `outcome_style` for each outcome. `record` keeps the published ones.
  `artifacts` collects those of GitHub jobs.
- Other commands: `doctor` shows what this machine has. `bisect` finds the JAX release that broke a test.
- For all modules: `files` writes whole files, `safe_text` makes text safe to print, `pipes` is for `| head`, and
  `missing_tools` names missing packages.

The code that runs inside a cell is in docker/inside.
"""
