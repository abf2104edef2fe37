# demo -- the programs in the lab's VMs; not part of libappliance, and on libevent's HTTP, so that they are strangers to the mesh.
pkglibexec_PROGRAMS = ambit-bookinfo
ambit_bookinfo_SOURCES = \
	appliance/demo/bookinfo.c \
	appliance/demo/bookinfo.h \
	appliance/demo/details.c \
	appliance/demo/load.c \
	appliance/demo/productpage.c \
	appliance/demo/ratings.c \
	appliance/demo/reviews.c
ambit_bookinfo_CFLAGS = -std=gnu11 -Wall -Wextra $(HARDEN_CFLAGS) $(SAN_FLAGS) $(DEMO_CFLAGS)
ambit_bookinfo_LDADD = $(EVENT_LIBS) $(DEMO_LIBS)
