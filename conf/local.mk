# conf -- the commented configuration that packages install, and examples.
ambitconfdir = $(sysconfdir)/ambit
dist_ambitconf_DATA = conf/ambit.yaml
