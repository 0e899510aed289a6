# The commands of this repository; `make help` lists them.  Everything that they
# install or keep lies in .venv, .cache, .demo and .demo-hosts.

RELEASE ?= trixie
SHELL := /bin/bash
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.cache/collections
export MOLECULE_GLOB := molecule/*/molecule.yml
export RELEASE

COLLECTION := .cache/collections/ansible_collections/postamt/mail
READY := .venv/.ready
TOOLS := .venv/.tools

help: ## List every target
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 18

demo: announce $(READY) ## Bring up a mail server and send mail through it (RELEASE=trixie or bookworm)
	@tools/demo.py up

announce:
	@echo "make demo and demo-hosts install: Ansible from PyPI into .venv; Podman, runc, debootstrap and iptables from"
	@echo "Debian where they are missing; an image of Debian $(RELEASE) for the containers."
	@echo "make demo-down or demo-hosts-down removes containers, networks and the folder .demo or .demo-hosts.  What is"
	@echo "downloaded stays for the next time: .venv, .cache, Debian's packages, and the image (podman image ls)."

demo-down: ## Remove the demo: containers, networks, volumes, .demo
	@tools/demo.py down

demo-hosts: announce $(READY) ## The same accounts over six hosts, with a name server
	@tools/demo.py up hosts

demo-hosts-down: ## Remove the demo of six hosts
	@tools/demo.py down hosts

test: $(TOOLS) ## Everything: linters, unit tests, every Molecule scenario on both releases
	@tools/suite.py

soak: $(TOOLS) ## What `make test` has no time for: every point where a run can be killed, outages of a minute, kinds of hosts
	@SOAK=1 tools/suite.py molecule-image molecule-trust molecule-amavis world

lint: $(TOOLS) ## Linters and the gates of Ansible Galaxy, without containers
	@tools/suite.py lint

test-unit: $(TOOLS) ## Unit tests with branch coverage
	@pytest -q --cov --cov-report=term

sanity: $(TOOLS) ## ansible-test sanity alone
	@tools/sanity

molecule: $(TOOLS) ## Every Molecule scenario on both releases; one: molecule test -s postfix
	@tools/suite.py molecule

bench: $(TOOLS) ## Measure runs: with 10 to 20,000 accounts, 1 to 1,000 hosts, and (after make demo) against pings
	@tools/bench_scale.py
	@if [ -e .demo/inventory ]; then tools/bench.py; else echo "After make demo there is a third table: runs against pings."; fi

bench-mail: $(TOOLS) ## Measure the content filter and signatures: messages per second, latency, memory
	@tools/bench_mail.py
	@tools/bench_signatures.py

generate: $(TOOLS) ## Write what follows from the declarations in plugins/: modules and roles of programs, the reference
	@tools/generate.py
	@tools/docs.py

build: $(READY) ## Build the collection's tarball into .cache/build
	@ansible-galaxy collection build --force --output-path .cache/build

changelog: $(TOOLS) ## Turn the fragments into the changelog of the version in galaxy.yml
	@antsibull-changelog release

venv: $(TOOLS) ## The virtual environment with Ansible and the tests' tools
	@:

# What playbooks need, which is enough for the demo and for a tarball.  The collection is used from the working tree: its
# name in the search path is a link to it.
$(READY): requirements.txt tools/python
	@echo "installing Ansible into .venv (from PyPI, half a minute) ..."
	@python=$$(tools/python) && $$python -m venv --clear .venv
	@.venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
	@mkdir -p $(dir $(COLLECTION)) && ln -sfn $(CURDIR) $(COLLECTION)
	@touch $@
	@echo "... done"

$(TOOLS): $(READY) requirements-dev.txt
	@echo "installing the tools of the tests into .venv (from PyPI, about a minute) ..."
	@.venv/bin/pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@
	@echo "... done"

.PHONY: help announce demo demo-down demo-hosts demo-hosts-down test soak lint test-unit sanity molecule bench bench-mail generate build changelog venv
