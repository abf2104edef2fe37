# docs -- distributed, and the man pages installed.
EXTRA_DIST += docs/architecture.md docs/threat-model.md docs/module-abi.md
