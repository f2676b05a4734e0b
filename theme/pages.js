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

    makeScrollable();
    window.addEventListener('resize', makeScrollable);

    // The sidebar's switch is a label; it acts as a button, so it says so.
    const toggle = document.getElementById('mdbook-sidebar-toggle');
    if (toggle) {
        toggle.setAttribute('role', 'button');
        toggle.tabIndex = 0;
        toggle.addEventListener('keydown', function (event) {
            if (event.key === 'Enter' || event.key === ' ') {
                event.preventDefault();
                toggle.click();
            }
        });
    }

    // The bar at the top is a landmark of its own.
    const bar = document.getElementById('mdbook-menu-bar');
    if (bar) {
        bar.setAttribute('role', 'banner');
    }
})();
