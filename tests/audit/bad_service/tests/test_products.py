from httpx import AsyncClient

from app.main import app


async def test_products():
    async with AsyncClient(app=app, base_url="http://test") as client:  # <- ASM026
        assert (await client.get("/products")).status_code == 200
