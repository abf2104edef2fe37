/* mailbox.h -- the only way onto another thread: post a message to its loop. Mutex, list, eventfd. */
#ifndef EVENT_MAILBOX_H
#define EVENT_MAILBOX_H
#include "base/compiler.h"

struct ap_loop;
struct ap_mailbox;

/* Embedded in the sender's struct, which belongs to the receiver from the post on. */
struct ap_msg {
	struct ap_msg *next;
	void (*fn)(struct ap_msg *msg); /* runs on the receiving loop; frees the struct around msg */
};

AP_PUBLIC_BEGIN
/* On the loop's thread, before others may post. */
struct ap_mailbox *ap_mailbox_new(struct ap_loop *loop);
/* Runs what is still queued; nobody may post any more. */
void ap_mailbox_free(struct ap_mailbox **mb);
/* Any thread. Order per sender is kept. */
void ap_mailbox_post(struct ap_mailbox *mb, struct ap_msg *msg);
/* Post fn(arg) without a struct of one's own. */
void ap_mailbox_call(struct ap_mailbox *mb, void (*fn)(void *arg), void *arg);
AP_PUBLIC_END

#endif
