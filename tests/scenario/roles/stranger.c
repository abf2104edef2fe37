/* stranger.c -- a shared object that is no role at all. */
int stranger(void);

__attribute__((visibility("default"))) int
stranger(void)
{
	return 42;
}
