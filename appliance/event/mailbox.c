/*
 * mailbox.c -- one mutex, one list, one eventfd.  The reader takes the whole list at once, so the lock is held for a few
 * instructions however long the queue is, and only the first sender into an empty queue pays for a system call.
 * Owned by the thread of its loop; ap_mailbox_post is for everybody.
 */
#include "event/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "event/loop.h"

struct ap_mailbox {
	pthread_mutex_t lock;
	struct ap_msg *head, **tail; /* under lock */
	int fd;
	struct ap_io io;
};

/* Run what is queued now; what is posted meanwhile waits for the next turn. False: there was nothing. */
static bool
drain(struct ap_mailbox *mb)
{
	struct ap_msg *msg;

	pthread_mutex_lock(&mb->lock);
	msg = mb->head;
	mb->head = NULL;
	mb->tail = &mb->head;
	pthread_mutex_unlock(&mb->lock);
	if (msg == NULL)
		return false;
	while (msg != NULL) {
		struct ap_msg *next = msg->next;

		msg->fn(msg);
		msg = next;
	}
	return true;
}

static void
on_readable(struct ap_io *io, unsigned events, void *arg)
{
	struct ap_mailbox *mb = arg;
	uint64_t count;

	(void)events;
	/* Before taking the list: a post that comes in between rings again and is found, at worst, by an idle turn. */
	while (read(io->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	(void)drain(mb);
}

struct ap_mailbox *
ap_mailbox_new(struct ap_loop *loop)
{
	struct ap_mailbox *mb = ap_new(struct ap_mailbox);

	AP_CHECK(pthread_mutex_init(&mb->lock, NULL) == 0);
	mb->tail = &mb->head;
	mb->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	AP_CHECK(mb->fd >= 0);
	ap_io_init(&mb->io, loop, mb->fd, on_readable, mb);
	ap_io_want(&mb->io, AP_IO_READ);
	return mb;
}

void
ap_mailbox_free(struct ap_mailbox **mb)
{
	struct ap_mailbox *m = *mb;

	*mb = NULL;
	if (m == NULL)
		return;
	while (drain(m))
		;
	ap_io_done(&m->io);
	(void)close(m->fd);
	pthread_mutex_destroy(&m->lock);
	ap_free(&m);
}

void
ap_mailbox_post(struct ap_mailbox *mb, struct ap_msg *msg)
{
	const uint64_t one = 1;
	bool was_empty;

	msg->next = NULL;
	pthread_mutex_lock(&mb->lock);
	was_empty = mb->head == NULL;
	*mb->tail = msg;
	mb->tail = &msg->next;
	/* Inside the lock: afterwards the receiver may have run a message that ends the mailbox. */
	if (was_empty) {
		while (write(mb->fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
	pthread_mutex_unlock(&mb->lock);
}

struct call {
	struct ap_msg msg;
	void (*fn)(void *arg);
	void *arg;
};

static void
run_call(struct ap_msg *msg)
{
	struct call *call = AP_CONTAINER_OF(msg, struct call, msg);

	call->fn(call->arg);
	ap_free(&call);
}

void
ap_mailbox_call(struct ap_mailbox *mb, void (*fn)(void *arg), void *arg)
{
	struct call *call = ap_new(struct call);

	call->msg.fn = run_call;
	call->fn = fn;
	call->arg = arg;
	ap_mailbox_post(mb, &call->msg);
}
