// What stock mdBook leaves to be desired for readers without a mouse.
(function () {
    'use strict';

    // Whatever scrolls sideways can be reached and scrolled by keyboard.
    function makeScrollable() {
        for (const box of document.querySelectorAll('pre > code, .table-wrapper')) {
            if (box.scrollWidth > box.clientWidth) {
                box.tabIndex = 0;
            } else {
                box.removeAttribute('tabindex');
            }
        }
    }

    // mdBook hides the rest of a program around the first piece of it that a
    // page shows, and gives that a button. The later pieces get the same one,
    // without the weight of the whole program around each.
    function showProgram(code, before, after) {
        for (const [place, text] of [['afterbegin', before], ['beforeend', after]]) {
            const rest = document.createElement('span');
            rest.className = 'boring';
            rest.innerHTML = window.hljs.highlight('rust', text, true).value;
            code.insertAdjacentElement(place, rest);
        }
    }

    function addProgramButton(code, before, after) {
        const names = ['Show hidden lines', 'Hide lines']; // mdBook's own
        const button = document.createElement('button');
        function update() {
            const hidden = code.classList.contains('hide-boring');
            const icon = document.getElementById(hidden ? 'fa-eye' : 'fa-eye-slash');
            button.innerHTML = icon.innerHTML;
            button.title = names[hidden ? 0 : 1];
            button.setAttribute('aria-label', button.title);
        }
        code.classList.add('hide-boring');
        update();
        button.addEventListener('click', function () {
            if (!code.querySelector('.boring')) {
                showProgram(code, before, after);
            }
            code.classList.toggle('hide-boring');
            update();
            makeScrollable();
        });
        code.parentElement.querySelector('.buttons').append(button);
    }

    const programs = [];
    for (const code of document.querySelectorAll('pre > code.language-rust')) {
        const text = code.textContent;
        if (code.querySelector('.boring') || text.startsWith('//!')) {
            programs.unshift(text);
            continue;
        }
        // The nearest program that has this piece is the one it comes from.
        const program = programs.find(function (it) { return it.includes(text); });
        if (program) {
            const start = program.indexOf(text);
            addProgramButton(code, program.slice(0, start), program.slice(start + text.length));
        }
    }

    makeScrollable();
    window.addEventListener('resize', makeScrollable);

    // The sidebar's switch is a label for a hidden checkbox, which no key
    // reaches. It becomes the button that it looks like.
    const label = document.getElementById('mdbook-sidebar-toggle');
    const checkbox = document.getElementById('mdbook-sidebar-toggle-anchor');
    if (label && checkbox) {
        const button = document.createElement('button');
        for (const name of label.getAttributeNames()) {
            if (name !== 'for') {
                button.setAttribute(name, label.getAttribute(name));
            }
        }
        button.type = 'button';
        button.append(...label.childNodes);
        button.addEventListener('click', function () {
            label.click(); // mdBook listens to the label
            checkbox.click();
        });
        checkbox.addEventListener('change', function () {
            button.setAttribute('aria-expanded', checkbox.checked);
        });
        label.replaceWith(button);
    }

    // The bar at the top is a landmark of its own.
    const bar = document.getElementById('mdbook-menu-bar');
    if (bar) {
        bar.setAttribute('role', 'banner');
    }

    // A long path breaks between its folders and not within a name.
    for (const name of document.querySelectorAll('figure.listing figcaption > code')) {
        name.innerHTML = name.innerHTML.replaceAll('/', '/<wbr>');
    }

    // Where the book knows its repository, a listing's name leads to the file.
    const repository = document.querySelector('.right-buttons a[title="Git repository"]');
    if (repository) {
        for (const name of document.querySelectorAll('figure.listing figcaption > code')) {
            const link = document.createElement('a');
            link.href = repository.href.replace(/\/$/, '') + '/blob/HEAD/' + name.textContent;
            name.replaceWith(link);
            link.append(name);
        }
    }

    // Paper cannot be unfolded: solutions are printed, then folded again.
    let unfolded = [];
    window.addEventListener('beforeprint', function () {
        unfolded = [...document.querySelectorAll('details:not([open])')];
        unfolded.forEach(function (it) { it.open = true; });
    });
    window.addEventListener('afterprint', function () {
        unfolded.forEach(function (it) { it.open = false; });
    });
})();
