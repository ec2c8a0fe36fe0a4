"""The host's side of the harness: it runs one suite on every JAX and every backend.

The words that all modules use:

- A *row* of matrix.toml is one release line of JAX. A *backend* is `cpu`, `cuda` or `tpu`.
- A *cell* is one Python, one JAX and one backend: `py311-jax0.4.30-cpu`. A row makes a cell for each backend.
- A *lock* names the exact packages of a cell. A *floating* cell has none: its JAX is the latest, or a nightly build.
- The *bridge* (docker/bridge) runs an old JAX whose own jaxlib is gone from the package index.
- An *environment* is the folder with the installed packages of a cell. An *image* is the same for a container.
- The *root* is the folder of the tested project, with its matrix.toml. The *home* has the files of the harness itself.
- A *snapshot* is a copy of the source that is hashed, built and tested. Later changes of the checkout don't matter.
- A *result* has one of six *outcomes*, and the hashes of what was tested. It is *stale* if these have changed.
- The *proof of place* shows that the tests ran on the device of the cell, and not on the CPU.

The packages, lowest first. A package imports only packages above its own item of this list.

- `system`: `paths`, `files` that are written whole, `schema` for what is read from files, `safe_text` that can be
  printed, and `pipes`, for `| head`. `errors` end a command with a message. `signals` handles Ctrl-C, and `processes`
  stops what was started. `run_lock` allows one run at a time. `isolation` keeps the settings of the user out.
  `interpreters` finds Pythons, and `uv` the program of that name. `inside` gives the modules that a cell has too.
  `program` is the name of this command. `outputs` explains the output of a command that failed.
- `rows`: `matrix_file` reads matrix.toml, and jax.toml, which says what is true of JAX for any project. `project` is
  what is tested, and `metadata` what it says of itself. `required` is what a cell installs besides JAX, and `cells` are
  what the project is tested on.
- `source`: `snapshot` copies what is tested. `fingerprint` hashes it by `hashing`, without the generated parts of its
  `pages`. `wheel` builds the project, and `suite` copies the tests.
  `locks`: `resolve` writes a `lock_file`, with the answers of the package `index`, and `verify` checks it.
  `package_source` names the file to correct if packages can't be installed. `source_release` downloads another
  project, to test it.
  `results`: `result` is the form of one. `started` completes it. `resume` decides whether an old one is still valid.
  `run_files` reads the files that a run wrote. `record` keeps the published results. `artifacts` collects those of
  GitHub jobs.
- `run`: `host` runs a cell on this host with tox, in its `environment`. `set_up` completes that. `hardware` finds the
  device. `verdict` makes the result. `which_jax` says which JAX this Python has, and `installed_cell` stands for it.
  `installed_jax` runs the suite with it, and `device_check` also checks the device and the speed. `scheduler` starts
  many cells.
- `containers`: `container` runs a cell in a container. `engine` talks to Docker, `image` describes the build, `bases`
  knows the base images, `devices` gives the container its device, and `docker_errors` explains Docker's errors.
  `interactive` builds images and opens shells.
- `report`: `display` shows the progress, and `eta` estimates the time that is left. `table` draws all results, with a
  mark from `outcome_style` for each outcome. `pull_request` writes it as a comment. `doctor` shows what this machine
  has.
  `init`: `matrix_text` writes the matrix.toml of another project. `layout` finds its package and tests, `requirements`
  what it requires, and `dates` what of that is newer than the rows. `choice` chooses these.
  `bisect`: finds the JAX release that broke a test.

The code that runs inside a cell is in docker/inside.
"""
