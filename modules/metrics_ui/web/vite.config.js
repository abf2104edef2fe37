// The page is embedded into the role: few files, relative addresses, nothing inlined that a strict CSP would refuse.
import { defineConfig } from "vite";

export default defineConfig({
	base: "./",
	build: {
		target: "es2021",
		outDir: "dist",
		assetsInlineLimit: 0,
		cssCodeSplit: false,
		modulePreload: false,
		sourcemap: false,
		reportCompressedSize: false,
		chunkSizeWarningLimit: 2000,
		rollupOptions: {
			output: {
				entryFileNames: "assets/app.js",
				chunkFileNames: "assets/[name].js",
				assetFileNames: "assets/[name][extname]",
				manualChunks: undefined,
				inlineDynamicImports: true,
			},
		},
	},
	server: { proxy: { "/api": process.env.AMBIT_UI || "http://127.0.0.1:20001" } },
});
