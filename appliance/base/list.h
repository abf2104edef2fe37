/* list.h -- intrusive doubly linked list; a head is a link that points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct ap_list {
	struct ap_list *next, *prev;
};

static inline void
ap_list_init(struct ap_list *l)
{
	l->next = l->prev = l;
}
static inline bool
ap_list_is_empty(const struct ap_list *head)
{
	return head->next == head;
}
static inline void
ap_list_add_before(struct ap_list *at, struct ap_list *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}
/* At the end of the list. */
static inline void
ap_list_append(struct ap_list *head, struct ap_list *l)
{
	ap_list_add_before(head, l);
}
static inline void
ap_list_prepend(struct ap_list *head, struct ap_list *l)
{
	ap_list_add_before(head->next, l);
}
/* Take out; l is a head of its own afterwards, so removing twice is harmless. */
static inline void
ap_list_remove(struct ap_list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	ap_list_init(l);
}
/* A link that was initialised and is in some list. */
static inline bool
ap_list_is_linked(const struct ap_list *l)
{
	return l->next != NULL && l->next != l;
}

#define AP_LIST_ITEM(link_, type_, member_) AP_CONTAINER_OF(link_, type_, member_)
#define AP_LIST_FOR(link_, head_) \
	for (struct ap_list *link_ = (head_)->next; link_ != (head_); link_ = link_->next)
/* The body may remove (and free) the item. */
#define AP_LIST_FOR_SAFE(link_, head_) \
	for (struct ap_list *link_ = (head_)->next, *link_##_next = link_->next; link_ != (head_); \
	     link_ = link_##_next, link_##_next = link_->next)

#endif
