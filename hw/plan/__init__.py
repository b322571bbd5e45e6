"""The hardware as data: what `hw/data` says, what is wrong with it, and what is made of it.

`read` gives the files typed values; `build` puts a site's parts, nets and wires together; `check`
and the `faults_*` beside it find what no drawing shows; `make` writes pin constants, overlays,
drawings, tables and the build guide (scripts/hw).

Upheld: the checks are functions from data to sentences, without files · each fault is one sentence
that names the place and says what to do · a generated file is never changed by hand.
"""
