// What GRUB would start, read from its configuration.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseBootEntry } from '../../../src/netboot/node/kexec.ts'

const DEBIAN = `
function gfxmode {
	set gfxpayload="\${1}"
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-55' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root 55555555-aaaa-4bbb-8ccc-555555555555
	echo	'Loading Linux 6.1.0-50-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-50-amd64 root=UUID=55555555-aaaa-4bbb-8ccc-555555555555 ro  quiet
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-6.1.0-50-amd64
}
submenu 'Advanced options' {
	menuentry 'Older' {
		linux	/boot/vmlinuz-5.10 root=/dev/sda1
		initrd	/boot/initrd.img-5.10
	}
}
`

test('parseBootEntry() takes the first entry of a grub.cfg', () => {
  assert.deepEqual(parseBootEntry(DEBIAN), {
    kernel: '/boot/vmlinuz-6.1.0-50-amd64',
    initramfs: ['/boot/initrd.img-6.1.0-50-amd64'],
    parameters: 'root=UUID=55555555-aaaa-4bbb-8ccc-555555555555 ro  quiet',
  })
})

test("parseBootEntry() takes no other entry's initramfs for an entry that has none", () => {
  const text = "menuentry 'a' {\n  linux /a ro\n}\nmenuentry 'b' {\n  linux /b\n  initrd /c\n}\n"
  assert.deepEqual(parseBootEntry(text), { kernel: '/a', initramfs: [], parameters: 'ro' })
})

test('parseBootEntry() refuses what only GRUB can expand, and what names no kernel', () => {
  assert.equal(parseBootEntry("menuentry 'a' {\n  linux /a root=$root\n}\n"), undefined)
  assert.equal(parseBootEntry('insmod blscfg\nblscfg\n'), undefined)
})

test('parseBootEntry() survives any text', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseBootEntry(`menuentry {${text}`)))
})
