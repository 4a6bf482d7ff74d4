# make demo, make demo-det, make test; STACK=openmmlab or STACK=onedl chooses the stack.
PYTHON ?= python3
# From Python 3.13 on, the setup.py of mmcv 2.1 fails, and the forks build.
ifndef STACK
STACK := $(shell $(PYTHON) -c 'import sys; print("onedl" if sys.version_info >= (3, 13) else "openmmlab")')
endif
VENV := $(if $(filter openmmlab,$(STACK)),.venv,.venv-$(STACK))
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# Networks of others, which tests convert, and what looks into them; see tests/helpers/networks.py.
NETWORKS := timm torchvision captum segmentation-models-pytorch monai huggingface-hub httpx2 \
	httpcore2 h11 anyio idna truststore \
	$(if $(filter openmmlab,$(STACK)),mmpretrain modelindex model-index \
	mat4py importlib-metadata lazy-importer zipp einops ordered-set Markdown click)

# Threads that wait soon give their core away. OpenMP's default, to spin, makes training several
# times slower where two programs share the cores.
export GOMP_SPINCOUNT ?= 1000

.PHONY: help setup demo demo-det demo-delays test docs bench soak clean

help:
	@echo "make demo       set up, train a segmentor on real images, show what it learned"
	@echo "make demo-det   the same with a detector"
	@echo "make demo-delays  set up, learn the delays of synapses, show them beside the true ones"
	@echo "make test       set up, run the tests"
	@echo "make docs       set up, build the site of these documents into work_dirs/site"
	@echo "make bench      set up, time DCLS beside its peers: a quarter of an hour"
	@echo "make soak       set up, kill and resume 20 trainings, watch a long one for leaks: an hour"
	@echo "make setup      set up only; STACK=onedl for the onedl forks, PYTHON=... for another Python"

setup: $(READY)

$(READY): constraints.txt setup.py pyproject.toml tools/install_stack.py
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 10) and f"mmdcls needs Python 3.10 or newer, and $(PYTHON) is {v}; use make PYTHON=...")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) tools/install_stack.py $(STACK)
	touch $@

demo: $(READY)
	$(RUN) tools/demo.py seg

demo-det: $(READY)
	$(RUN) tools/demo.py det

demo-delays: $(READY)
	$(RUN) -m projects.delays.demo

# Triton's interpreter runs the kernels for GPUs: 300 MB that nothing but the tests needs.
test: $(READY) $(VENV)/networks $(VENV)/docs
	test "$$(uname)" != Linux || $(RUN) -m pip install -q -c constraints.txt "triton>=3.3"
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest -n auto --dist loadfile

$(VENV)/networks: constraints.txt | $(READY)
	rm -rf $@
	$(RUN) -m pip install -q -c constraints.txt --no-deps --target $@ $(NETWORKS)
	touch $@

# The extra `docs`, in a folder of its own: what builds the site reads our code and imports none of it.
$(VENV)/docs: constraints.txt setup.py | $(READY)
	rm -rf $@
	$(RUN) -m pip install -q -c constraints.txt --target $@ $$($(RUN) -c 'from importlib.metadata import requires; \
		print(*(r.partition(";")[0] for r in requires("mmdcls") if "extra == \"docs\"" in r))')
	touch $@

docs: $(VENV)/docs
	PYTHONPATH=$(VENV)/docs NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build
	@echo "open work_dirs/site/index.html, by $(RUN) -m http.server -d work_dirs/site"

bench: $(READY)
	$(RUN) tools/analysis_tools/benchmark.py

soak: $(READY)
	$(RUN) tools/analysis_tools/soak_kills.py
	$(RUN) tools/analysis_tools/soak_growth.py

clean:
	rm -rf .venv .venv-* work_dirs data
