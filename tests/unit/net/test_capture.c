/* test_capture.c -- who owns a socket, asked of the real kernel. Original destinations need a redirect: tests/netns. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"

#include "net/capture.h"

static struct ap_addr
addr_of(int fd, bool peer)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);

	assert_int_equal(peer ? getpeername(fd, (struct sockaddr *)&storage, &len)
			      : getsockname(fd, (struct sockaddr *)&storage, &len),
	    0);
	return ap_addr_from_sockaddr((struct sockaddr *)&storage, len);
}

static uint64_t
inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int
listen_at(const char *text)
{
	struct ap_addr a;
	int fd;

	assert_int_equal(ap_addr_parse(ap_slice_of(text), &a), 0);
	fd = socket(a.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &a.u.sa, a.len), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void
both_ends_of_a_connection_have_owners(void **state)
{
	static const char *const listeners[] = { "127.0.0.1:0", "[::1]:0" };
	struct ap_error err = { 0 };
	struct ap_sock_diag *d = ap_sock_diag_new(&err);

	(void)state;
	assert_non_null(d);
	for (size_t i = 0; i < 2; i++) {
		int l = listen_at(listeners[i]), c, s;
		struct ap_addr at = addr_of(l, false), local, remote;
		struct ap_socket_owner owner;

		c = socket(at.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(c, &at.u.sa, at.len), 0);
		local = addr_of(c, false);
		remote = addr_of(c, true);
		assert_int_equal(ap_sock_diag_find(d, &local, &remote, &owner), 0);
		assert_int_equal(owner.uid, getuid());
		assert_int_equal(owner.inode, inode_of(c));
		assert_int_not_equal(owner.cgroup_id, 0);
		/* Not yet accepted: no inode; then the accepted one's. */
		assert_int_equal(ap_sock_diag_find(d, &remote, &local, &owner), 0);
		assert_int_equal(owner.inode, 0);
		s = accept(l, NULL, NULL);
		assert_int_equal(ap_sock_diag_find(d, &remote, &local, &owner), 0);
		assert_int_equal(owner.inode, inode_of(s));
		/* A peer that is not there: the listener must not be taken for it. */
		ap_addr_set_port(&local, 1);
		assert_int_equal(ap_sock_diag_find(d, &remote, &local, &owner), -ENOENT);
		assert_int_equal(ap_sock_diag_find_listener(d, &remote, &owner), 0);
		assert_int_equal(owner.inode, inode_of(l));
		close(c);
		close(s);
		close(l);
		assert_int_equal(ap_sock_diag_find_listener(d, &remote, &owner), -ENOENT);
	}
	ap_sock_diag_free(&d);
	ap_sock_diag_free(&d);
}

static void
a_wildcard_listener_serves_each_address(void **state)
{
	struct ap_error err = { 0 };
	struct ap_sock_diag *d = ap_sock_diag_new(&err);
	int any = listen_at("[::]:0");
	struct ap_addr at = addr_of(any, false), exact;
	struct ap_socket_owner owner;
	char text[AP_ADDR_TEXT];
	int one;

	(void)state;
	assert_int_equal(ap_addr_parse(AP_S("127.0.0.5:0"), &exact), 0);
	ap_addr_set_port(&exact, ap_addr_port(&at));
	assert_int_equal(ap_sock_diag_find_listener(d, &exact, &owner), 0);
	assert_int_equal(owner.inode, inode_of(any));
	close(any);
	any = listen_at(ap_addr_format(
	    &(struct ap_addr){ .len = exact.len, .u.in = { .sin_family = AF_INET } }, text, sizeof(text)));
	at = addr_of(any, false);
	ap_addr_set_port(&exact, ap_addr_port(&at));
	assert_int_equal(ap_sock_diag_find_listener(d, &exact, &owner), 0);
	assert_int_equal(owner.inode, inode_of(any));
	/* The exact address wins. */
	one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	if (bind(one, &exact.u.sa, exact.len) == 0 && listen(one, 1) == 0) {
		assert_int_equal(ap_sock_diag_find_listener(d, &exact, &owner), 0);
		assert_int_equal(owner.inode, inode_of(one));
	}
	close(one);
	close(any);
	ap_sock_diag_free(&d);
}

static void
what_is_no_ip_socket_is_refused(void **state)
{
	struct ap_error err = { 0 };
	struct ap_sock_diag *d = ap_sock_diag_new(&err);
	struct ap_addr u, v4, v6;
	struct ap_socket_owner owner;
	int fds[2];

	(void)state;
	assert_int_equal(ap_addr_parse(AP_S("unix:/tmp/x"), &u), 0);
	assert_int_equal(ap_addr_parse(AP_S("127.0.0.1:1"), &v4), 0);
	assert_int_equal(ap_addr_parse(AP_S("[::1]:1"), &v6), 0);
	assert_int_equal(ap_sock_diag_find(d, &u, &u, &owner), -EAFNOSUPPORT);
	assert_int_equal(ap_sock_diag_find(d, &v4, &v6, &owner), -EAFNOSUPPORT);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(ap_capture_original_dst(fds[0], &u), -EAFNOSUPPORT);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(ap_capture_original_dst(-1, &u), -EBADF);
	ap_sock_diag_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_of_a_connection_have_owners),
		cmocka_unit_test(a_wildcard_listener_serves_each_address),
		cmocka_unit_test(what_is_no_ip_socket_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
